package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/zato-connect/zato-connect/wsx"

	_ "github.com/zato-connect/zato-connect/output"    // registers the component
	_ "github.com/zato-connect/zato-connect/processor" // registers the component
)

const (
	groupCall  = "call"
	groupScale = "scale"
)

// callConnections is the number of connections that most figures spread their calls over.
const callConnections = 32

// localAddress returns the address of a channel whose services take serviceTime.
func localAddress(serviceTime string) func(*server) string {
	return func(s *server) string { return s.url("/zato/" + serviceTime) }
}

// remoteAddress returns the address of a channel behind the latency proxy, whose services
// take 1ms.
func remoteAddress(s *server) string { return s.remoteURL("/zato/1ms") }

func callFigures() []figure {
	return slices.Concat(singleCallFigures(), twoCallFigures(), latencyFigures())
}

// singleCallFigures returns the figures with one call in flight per connection, each
// followed by the same figure of the minimal client.
func singleCallFigures() []figure {
	var out []figure
	// If a call costs more CPU time than it waits, the goals are what the machine of
	// docs/performance.md reaches, close to the minimal client. Prototypes reached more,
	// but against a slower server.
	for _, c := range []struct {
		serviceTime             string
		pool, output, processor float64
	}{{"0ms", 0, 0.46, 0.59}, {"1ms", 0.95, 0.82, 0.9}, {"5ms", 0, 0.98, 0.97}, {"20ms", 0.97, 0, 0}} {
		for _, variant := range []struct {
			name          string
			goal          float64
			ours, minimal opener
		}{
			{
				"pool", c.pool, callRate(sharedPool(callConnections, callConnections, 1, localAddress(c.serviceTime))),
				callRate(minimalCallers(callConnections, localAddress(c.serviceTime))),
			},
			{
				"output", c.output, pipelineRate(outputYAML(1), 1, c.serviceTime),
				minimalPipelineRate(minimalOutputYAML, 1, c.serviceTime),
			},
			{
				"processor (batches of 500)", c.processor, pipelineRate(processorYAML(callConnections, 1), 500, c.serviceTime),
				minimalPipelineRate(minimalProcessorYAML, 500, c.serviceTime),
			},
		} {
			if variant.goal == 0 {
				continue
			}
			suffix := fmt.Sprintf(" with a service of %s on %d connections", c.serviceTime, callConnections)
			f := figure{
				group: groupCall, name: variant.name + suffix, unit: thousandsPerSecond("calls"),
				goal: atLeast(variant.goal), ours: variant.ours,
				reference: callRate(rawConnections(callConnections, localAddress(c.serviceTime))),
			}
			minimal := f
			minimal.name, minimal.goal, minimal.ours = "the minimal client, as "+variant.name+suffix, goal{}, variant.minimal
			out = append(out, f, minimal)
		}
	}
	return out
}

// twoCallFigures returns the figures with two calls in flight per connection. The reference
// has one.
func twoCallFigures() []figure {
	var out []figure
	for _, c := range []struct {
		name string
		ours opener
	}{
		{"pool", callRate(sharedPool(2*callConnections, callConnections, 2, localAddress("1ms")))},
		{"output", pipelineRate(outputYAML(2), 1, "1ms")},
		{"processor (batches of 500)", pipelineRate(processorYAML(callConnections, 2), 500, "1ms")},
	} {
		out = append(out, figure{
			group: groupCall, unit: thousandsPerSecond("calls"), goal: atLeast(1),
			name: fmt.Sprintf("%s with a service of 1ms and 2 calls per connection on %d connections",
				c.name, callConnections),
			ours: c.ours, reference: callRate(rawConnections(callConnections, localAddress("1ms"))),
		})
	}
	return out
}

func latencyFigures() []figure {
	var out []figure
	for _, c := range []struct {
		name           string
		quantile, goal float64
	}{{"p50", 0.5, 1.02}, {"p99", 0.99, 1.08}} {
		out = append(out, figure{
			group: groupCall, name: c.name + " of a service of 1ms on one connection", unit: unit{"us", 1000},
			goal: atMost(c.goal), ours: latencyQuantile(c.quantile, singleClient(localAddress("1ms"))),
			reference: latencyQuantile(c.quantile, rawConnections(1, localAddress("1ms"))),
		})
	}
	return out
}

func scaleFigures() []figure {
	var out []figure
	for n := 1; n <= 64; n *= 2 {
		out = append(out, figure{
			group: groupScale, unit: thousandsPerSecond("calls"), goal: atLeast(0.97),
			name:      fmt.Sprintf("pool of %d with a service of 5ms against raw", n),
			ours:      callRate(sharedPool(n, n, 1, localAddress("5ms"))),
			reference: callRate(rawConnections(n, localAddress("5ms"))),
		})
	}
	const callsPerConnection = 16
	return append(out,
		figure{
			group: groupScale, unit: thousandsPerSecond("calls"), goal: atLeast(9),
			name:      "16 calls per connection against 1, with a service of 1ms and a round trip of 10ms",
			ours:      callRate(sharedPool(callsPerConnection, 1, callsPerConnection, remoteAddress)),
			reference: callRate(sharedPool(callsPerConnection, 1, 1, remoteAddress)),
		},
		figure{
			group: groupScale, unit: thousandsPerSecond("calls"), goal: atLeast(0.97),
			name:      "1 call per connection against raw, with a service of 1ms and a round trip of 10ms",
			ours:      callRate(sharedPool(1, 1, 1, remoteAddress)),
			reference: callRate(rawConnections(1, remoteAddress)),
		},
		figure{
			group: groupScale, unit: unit{"us", 1000}, goal: atMost(1.5),
			name:      "p99 of a service of 1ms while another takes 10s, against alone",
			ours:      latencyQuantile(0.99, besideSlowCalls(localAddress("1ms"))),
			reference: latencyQuantile(0.99, sharedPool(4, 8, 1, localAddress("1ms"))),
		},
	)
}

// singleClient opens one caller with its own client.
func singleClient(url func(*server) string) callerOpener {
	return func(_ context.Context, s *server) ([]caller, func(), error) {
		client, err := wsx.New(wsx.Config{Address: url(s)})
		if err != nil {
			return nil, nil, err
		}
		request := json.RawMessage(requestData)
		return []caller{func(ctx context.Context) error {
			_, err := client.Invoke(ctx, "bench", request)
			return err
		}}, func() { _ = client.Close() }, nil
	}
}

// besideSlowCalls opens callers that share a pool with calls of a slow service.
func besideSlowCalls(url func(*server) string) callerOpener {
	return func(ctx context.Context, s *server) ([]caller, func(), error) {
		lease, err := acquireLease(url(s), 8, 1)
		if err != nil {
			return nil, nil, err
		}
		ctx, stop := context.WithCancel(ctx)
		go func() {
			for ctx.Err() == nil {
				_ = leaseCaller(lease, slowService)(ctx) // it fails when ctx is done
			}
		}()
		fast := leaseCaller(lease, "bench")
		<-time.After(100 * time.Millisecond) // let the slow call start
		return []caller{fast, fast, fast, fast}, func() { stop(); lease.Release() }, nil
	}
}

// outputYAML returns the configuration of a pipeline with the output. The address in it is
// a %s verb.
func outputYAML(callsPerConnection int) string {
	return fmt.Sprintf(`
input: { feed: {} }
output:
  zato_wsx:
    connection: { address: %%s, max_connections: %d, calls_per_connection: %d }
    topic: /bench
    max_in_flight: %d
`, callConnections, callsPerConnection, callConnections*callsPerConnection)
}

// processorYAML returns the configuration of a pipeline with the processor. The address in
// it is a %s verb.
func processorYAML(connections, callsPerConnection int) string {
	return fmt.Sprintf(`
input: { feed: {} }
pipeline:
  processors:
    - zato_wsx:
        connection: { address: %%s, max_connections: %d, calls_per_connection: %d }
        service: bench
        max_in_flight: %d
output: { drop: {} }
`, connections, callsPerConnection, connections*callsPerConnection)
}

// pipelineRate measures how many messages per second pass a pipeline, in batches of
// batchSize.
func pipelineRate(yaml string, batchSize int, serviceTime string) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		pipeline, end, err := startStream(ctx, fmt.Sprintf(yaml, localAddress(serviceTime)(s)))
		if err != nil {
			return nil, nil, err
		}
		return pipeline.feedRate(batchSize), end, nil
	}
}

// feedRate returns a meter of the messages per second that pass the pipeline, in batches of
// batchSize.
func (s *stream) feedRate(batchSize int) meter {
	return rate(batchSize, func(ctx context.Context, n int) error {
		target := s.sent.targetFor(n * batchSize)
		for range n {
			select {
			case s.feed <- batchSize:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return s.sent.await(ctx, target)
	})
}
