package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/wsx"
)

// A caller makes one call and waits for the answer.
type caller func(ctx context.Context) error

// A callerOpener opens callers. Each of them makes one call at a time. The returned
// function closes their connections.
type callerOpener func(ctx context.Context, s *server) ([]caller, func(), error)

// callFor lets all callers make calls for a duration, at least one each. It returns the
// latency of every call.
func callFor(ctx context.Context, duration time.Duration, callers []caller) ([]time.Duration, error) {
	latencies := make([][]time.Duration, len(callers))
	errs := make([]error, len(callers))
	deadline := time.Now().Add(duration)
	var wg sync.WaitGroup
	for i, call := range callers {
		wg.Go(func() {
			pprof.SetGoroutineLabels(ctx)
			for start := time.Now(); len(latencies[i]) == 0 || start.Before(deadline); start = time.Now() {
				if errs[i] = call(ctx); errs[i] != nil {
					return
				}
				latencies[i] = append(latencies[i], time.Since(start))
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(latencies...), nil
}

// callRate measures calls per second.
func callRate(open callerOpener) opener {
	return callMeter(open, func(latencies []time.Duration, elapsed time.Duration) float64 {
		return float64(len(latencies)) / elapsed.Seconds()
	})
}

// latencyQuantile measures a quantile of the latencies of calls, in nanoseconds.
func latencyQuantile(quantile float64, open callerOpener) opener {
	return callMeter(open, func(latencies []time.Duration, _ time.Duration) float64 {
		slices.Sort(latencies)
		return float64(latencies[int(quantile*float64(len(latencies)-1))])
	})
}

func callMeter(open callerOpener, value func(latencies []time.Duration, elapsed time.Duration) float64) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		callers, end, err := open(ctx, s)
		return func(ctx context.Context, duration time.Duration) (float64, error) {
			start := time.Now()
			latencies, err := callFor(ctx, duration, callers)
			if err != nil {
				return 0, err
			}
			return value(latencies, time.Since(start)), nil
		}, end, err
	}
}

// rawConnections opens n callers. Each has its own connection and no client.
func rawConnections(n int, url func(*server) string) callerOpener {
	return func(ctx context.Context, s *server) ([]caller, func(), error) { return rawCallers(ctx, url(s), n) }
}

// sharedPool opens callers that share the pool of one connection manager.
func sharedPool(callers, connections, callsPerConnection int, url func(*server) string) callerOpener {
	return func(_ context.Context, s *server) ([]caller, func(), error) {
		lease, err := acquireLease(url(s), connections, callsPerConnection)
		if err != nil {
			return nil, nil, err
		}
		return slices.Repeat([]caller{leaseCaller(lease, "bench")}, callers), lease.Release, nil
	}
}

func acquireLease(url string, connections, callsPerConnection int) (*connection.Lease, error) {
	conf, err := service.NewConfigSpec().Field(config.ConnectionField()).ParseYAML(fmt.Sprintf(
		"connection: { address: %s, max_connections: %d, calls_per_connection: %d }",
		url, connections, callsPerConnection), nil)
	if err != nil {
		return nil, err
	}
	return connection.Acquire(conf, service.MockResources())
}

// leaseCaller returns a caller of a service.
func leaseCaller(lease *connection.Lease, serviceName string) caller {
	request := json.RawMessage(requestData)
	return func(ctx context.Context) error {
		_, err := lease.Call(ctx, wsx.Call{Service: serviceName, Request: request})
		return err
	}
}
