package main

import (
	"context"
	"sync/atomic"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"   // the stock websocket input
	_ "github.com/redpanda-data/benthos/v4/public/components/pure" // drop, mapping, unarchive
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// stream is a running pipeline whose output counts. Its input may be the one named
// feed, which gives a batch of some messages for each number in feed: the first ones of
// messages, where there are some, which are tried again when they are rejected, as those
// of a true input are.
type stream struct {
	*service.Stream

	sent     *counter
	feed     chan int
	messages []wsx.Message
}

// counter counts, and tells when it has come far enough.
type counter struct {
	count, wanted atomic.Int64
	reached       chan struct{}
}

// Incr counts.
func (c *counter) Incr(n int64) {
	if c.count.Add(n) >= c.wanted.Load() {
		select {
		case c.reached <- struct{}{}:
		default: // it is told already
		}
	}
}

// expect returns what is counted when so many more are.
func (c *counter) expect(more int) int64 {
	wanted := c.count.Load() + int64(more)
	c.wanted.Store(wanted)
	return wanted
}

// await waits until n are counted.
func (c *counter) await(ctx context.Context, n int64) error {
	for c.count.Load() < n {
		select {
		case <-c.reached:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// startStream runs a pipeline until the returned function is called.
func startStream(ctx context.Context, yaml string, messages ...wsx.Message) (*stream, func(), error) {
	return startStreamIn(ctx, service.NewEnvironment(), yaml, messages...)
}

func startStreamIn(
	ctx context.Context, env *service.Environment, yaml string, messages ...wsx.Message,
) (*stream, func(), error) {
	s := &stream{sent: &counter{reached: make(chan struct{}, 1)}, feed: make(chan int), messages: messages}
	err := env.RegisterMetricsExporter("count", service.NewConfigSpec(),
		func(*service.ParsedConfig, *service.Logger) (service.MetricsExporter, error) {
			return counting{s.sent}, nil
		})
	if err != nil {
		return nil, nil, err
	}
	err = env.RegisterBatchInput("feed", service.NewConfigSpec(),
		func(*service.ParsedConfig, *service.Resources) (service.BatchInput, error) {
			if s.messages == nil {
				return feeding{s}, nil
			}
			return service.AutoRetryNacksBatched(feeding{s}), nil
		})
	if err != nil {
		return nil, nil, err
	}
	b := env.NewStreamBuilder()
	// The engine's own logger: it makes no text of what is not logged, which one of slog does.
	if err := b.SetYAML(yaml + "\nmetrics: { count: {} }\nlogger: { level: NONE }"); err != nil {
		return nil, nil, err
	}
	if s.Stream, err = b.Build(); err != nil {
		return nil, nil, err
	}
	go func() { _ = s.Run(context.WithoutCancel(ctx)) }() // what is wrong is seen by what does not come
	return s, func() { _ = s.StopWithin(10 * time.Second) }, nil
}

// counting gives the engine one counter for what outputs have sent.
type counting struct{ sent *counter }

func (c counting) NewCounterCtor(name string, _ ...string) service.MetricsExporterCounterCtor {
	if name == "output_sent" {
		return func(...string) service.MetricsExporterCounter { return c.sent }
	}
	return func(...string) service.MetricsExporterCounter { return ignored{} }
}

func (counting) NewTimerCtor(string, ...string) service.MetricsExporterTimerCtor {
	return func(...string) service.MetricsExporterTimer { return ignored{} }
}

func (counting) NewGaugeCtor(string, ...string) service.MetricsExporterGaugeCtor {
	return func(...string) service.MetricsExporterGauge { return ignored{} }
}

func (counting) Close(context.Context) error { return nil }

// ignored is a metric that nobody looks at.
type ignored struct{}

func (ignored) Incr(int64)   {}
func (ignored) Timing(int64) {}
func (ignored) Set(int64)    {}

// feeding is the input feed.
type feeding struct{ stream *stream }

func (feeding) Connect(context.Context) error { return nil }

func (f feeding) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	select {
	case n := <-f.stream.feed:
		batch := make(service.MessageBatch, n)
		for i := range batch {
			if len(f.stream.messages) > 0 {
				batch[i] = message(&f.stream.messages[i])
			} else {
				batch[i] = service.NewMessage([]byte(requestData))
			}
		}
		return batch, func(context.Context, error) error { return nil }, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

func (feeding) Close(context.Context) error { return nil }
