package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/zato-connect/zato-connect/wsx"

	_ "github.com/zato-connect/zato-connect/output"    // what is measured
	_ "github.com/zato-connect/zato-connect/processor" // what is measured
)

const (
	groupCall  = "call"
	groupScale = "scale"
)

// many is how many connections calls are spread over.
const many = 32

// local is the address of a channel whose services take some time.
func local(takes string) func(*server) string {
	return func(s *server) string { return s.url("/zato/" + takes) }
}

// remote is the same with a service of 1ms at a distance.
func remote(s *server) string { return s.remoteURL("/zato/1ms") }

func callFigures() []figure {
	var out []figure
	// Where a call costs more than it waits, the goals are what this machine gives, near to
	// the least client's: prototypes reached more, against a slower server.
	for _, c := range []struct {
		takes                   string
		pool, output, processor float64
	}{{"0ms", 0, 0.46, 0.59}, {"1ms", 0.95, 0.82, 0.9}, {"5ms", 0, 0.98, 0.97}, {"20ms", 0.97, 0, 0}} {
		for _, way := range []struct {
			name        string
			goal        float64
			ours, least opener
		}{
			{
				"pool", c.pool, callRate(pooled(many, many, 1, local(c.takes))),
				callRate(minimalCallers(many, local(c.takes))),
			},
			{"output", c.output, fed(outputYAML(1), 1, c.takes), fedMinimal(minimalOutputYAML, 1, c.takes)},
			{
				"processor (batches of 500)", c.processor, fed(processorYAML(many, 1), 500, c.takes),
				fedMinimal(minimalProcessorYAML, 500, c.takes),
			},
		} {
			if way.goal == 0 {
				continue
			}
			with := fmt.Sprintf(" with a service of %s on %d connections", c.takes, many)
			f := figure{
				group: groupCall, name: way.name + with, unit: perSecond("calls"), goal: atLeast(way.goal), ours: way.ours,
				reference: callRate(raw(many, local(c.takes))),
			}
			least := f
			least.name, least.goal, least.ours = "the least client, as "+way.name+with, goal{}, way.least
			out = append(out, f, least)
		}
	}
	for _, c := range []struct {
		name string
		ours opener
	}{
		{"pool", callRate(pooled(2*many, many, 2, local("1ms")))},
		{"output", fed(outputYAML(2), 1, "1ms")},
		{"processor (batches of 500)", fed(processorYAML(many, 2), 500, "1ms")},
	} {
		out = append(out, figure{
			group: groupCall, name: fmt.Sprintf("%s with a service of 1ms and a window of 2 on %d connections", c.name, many),
			unit: perSecond("calls"), goal: atLeast(1), ours: c.ours, reference: callRate(raw(many, local("1ms"))),
		})
	}
	for _, c := range []struct {
		name           string
		quantile, goal float64
	}{{"p50", 0.5, 1.02}, {"p99", 0.99, 1.08}} {
		out = append(out, figure{
			group: groupCall, name: c.name + " of a service of 1ms on one connection", unit: unit{"us", 1000},
			goal: atMost(c.goal), ours: latency(c.quantile, oneClient(local("1ms"))),
			reference: latency(c.quantile, raw(1, local("1ms"))),
		})
	}
	return out
}

func scaleFigures() []figure {
	var out []figure
	for n := 1; n <= 64; n *= 2 {
		out = append(out, figure{
			group: groupScale, name: fmt.Sprintf("pool of %d with a service of 5ms against raw", n), unit: perSecond("calls"),
			goal: atLeast(0.97), ours: callRate(pooled(n, n, 1, local("5ms"))), reference: callRate(raw(n, local("5ms"))),
		})
	}
	const window = 16
	return append(out,
		figure{
			group: groupScale, name: "a service of 1ms at 10ms on one connection: window 16 against 1", unit: perSecond("calls"),
			goal: atLeast(9), ours: callRate(pooled(window, 1, window, remote)),
			reference: callRate(pooled(window, 1, 1, remote)),
		},
		figure{
			group: groupScale, name: "the same: window 1 against raw", unit: perSecond("calls"),
			goal: atLeast(0.97), ours: callRate(pooled(1, 1, 1, remote)), reference: callRate(raw(1, remote)),
		},
		figure{
			group: groupScale, name: "p99 of a service of 1ms beside one of 10s against alone", unit: unit{"us", 1000},
			goal: atMost(1.5), ours: latency(0.99, besideSlow(local("1ms"))),
			reference: latency(0.99, pooled(4, 8, 1, local("1ms"))),
		},
	)
}

// oneClient is a caller with a client of its own.
func oneClient(url func(*server) string) callerOpener {
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

// besideSlow opens callers that share their manager with calls of a slow service.
func besideSlow(url func(*server) string) callerOpener {
	return func(ctx context.Context, s *server) ([]caller, func(), error) {
		lease, err := acquire(url(s), 8, 1)
		if err != nil {
			return nil, nil, err
		}
		ctx, stop := context.WithCancel(ctx)
		go func() {
			for ctx.Err() == nil {
				_ = leased(lease, slowService)(ctx) // it ends with ctx
			}
		}()
		fast := leased(lease, "bench")
		<-time.After(100 * time.Millisecond) // until the slow one is under way
		return []caller{fast, fast, fast, fast}, func() { stop(); lease.Release() }, nil
	}
}

// outputYAML is a pipeline with the output, whose address is left open. A window is how
// many calls may be in flight on a connection.
func outputYAML(window int) string {
	return fmt.Sprintf(`
input: { feed: {} }
output:
  zato_wsx:
    connection: { address: %%s, max_connections: %d, calls_per_connection: %d }
    topic: /bench
    max_in_flight: %d
`, many, window, many*window)
}

// processorYAML is the same with the processor.
func processorYAML(connections, window int) string {
	return fmt.Sprintf(`
input: { feed: {} }
pipeline:
  processors:
    - zato_wsx:
        connection: { address: %%s, max_connections: %d, calls_per_connection: %d }
        service: bench
        max_in_flight: %d
output: { drop: {} }
`, connections, window, connections*window)
}

// fed measures a pipeline that is given batches.
func fed(yaml string, size int, takes string) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		pipeline, end, err := startStream(ctx, fmt.Sprintf(yaml, local(takes)(s)))
		if err != nil {
			return nil, nil, err
		}
		return pipeline.fed(size), end, nil
	}
}

// fed measures how fast batches of a size pass.
func (s *stream) fed(size int) meter {
	return rate(size, func(ctx context.Context, n int) error {
		wanted := s.sent.expect(n * size)
		for range n {
			select {
			case s.feed <- size:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return s.sent.await(ctx, wanted)
	})
}
