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

// caller makes a call and waits for the answer.
type caller func(ctx context.Context) error

// callerOpener opens callers, of which each makes one call at a time.
type callerOpener func(ctx context.Context, s *server) ([]caller, func(), error)

// calling lets all callers call for a while, each once at least, and returns how long
// each call took.
func calling(ctx context.Context, about time.Duration, callers []caller) ([]time.Duration, error) {
	took := make([][]time.Duration, len(callers))
	faults := make([]error, len(callers))
	end := time.Now().Add(about)
	var all sync.WaitGroup
	for i, call := range callers {
		all.Go(func() {
			pprof.SetGoroutineLabels(ctx)
			for began := time.Now(); len(took[i]) == 0 || began.Before(end); began = time.Now() {
				if faults[i] = call(ctx); faults[i] != nil {
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	all.Wait()
	for _, err := range faults {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(took...), nil
}

// callRate measures calls a second.
func callRate(open callerOpener) opener {
	return callMeter(open, func(took []time.Duration, lasted time.Duration) float64 {
		return float64(len(took)) / lasted.Seconds()
	})
}

// latency measures a quantile of how long calls take, in nanoseconds.
func latency(quantile float64, open callerOpener) opener {
	return callMeter(open, func(took []time.Duration, _ time.Duration) float64 {
		slices.Sort(took)
		return float64(took[int(quantile*float64(len(took)-1))])
	})
}

func callMeter(open callerOpener, value func(took []time.Duration, lasted time.Duration) float64) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		callers, end, err := open(ctx, s)
		return func(ctx context.Context, about time.Duration) (float64, error) {
			began := time.Now()
			took, err := calling(ctx, about, callers)
			if err != nil {
				return 0, err
			}
			return value(took, time.Since(began)), nil
		}, end, err
	}
}

// raw opens callers with a bare connection each.
func raw(n int, url func(*server) string) callerOpener {
	return func(ctx context.Context, s *server) ([]caller, func(), error) { return rawCallers(ctx, url(s), n) }
}

// pooled opens callers that share the connections of a manager.
func pooled(callers, connections, perConnection int, url func(*server) string) callerOpener {
	return func(_ context.Context, s *server) ([]caller, func(), error) {
		lease, err := acquire(url(s), connections, perConnection)
		if err != nil {
			return nil, nil, err
		}
		return slices.Repeat([]caller{leased(lease, "bench")}, callers), lease.Release, nil
	}
}

func acquire(url string, connections, perConnection int) (*connection.Lease, error) {
	conf, err := service.NewConfigSpec().Field(config.ConnectionField()).ParseYAML(fmt.Sprintf(
		"connection: { address: %s, max_connections: %d, calls_per_connection: %d }", url, connections, perConnection), nil)
	if err != nil {
		return nil, err
	}
	return connection.Acquire(conf, service.MockResources())
}

// leased calls a service.
func leased(lease *connection.Lease, name string) caller {
	request := json.RawMessage(requestData)
	return func(ctx context.Context) error {
		_, err := lease.Call(ctx, wsx.Call{Service: name, Request: request})
		return err
	}
}
