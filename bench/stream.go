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

// A stream is a running pipeline whose output counts messages. Its configuration may use an
// input named feed, which makes a batch of n messages for each number n sent to the channel
// feed. The batches consist of the first messages of templates. If there are no templates,
// each message is a request. Like a real input, a feed with templates retries rejected
// messages.
type stream struct {
	*service.Stream

	sent      *counter
	feed      chan int
	templates []wsx.Message
}

// A counter counts, and signals when it reaches a target.
type counter struct {
	count, target atomic.Int64
	reached       chan struct{}
}

// Incr adds n to the count.
func (c *counter) Incr(n int64) {
	if c.count.Add(n) >= c.target.Load() {
		select {
		case c.reached <- struct{}{}:
		default: // a signal is pending
		}
	}
}

// targetFor sets the target to the current count plus more, and returns it.
func (c *counter) targetFor(more int) int64 {
	target := c.count.Load() + int64(more)
	c.target.Store(target)
	return target
}

// await waits until the count is at least n.
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

// startStream starts a pipeline. The returned function stops it.
func startStream(ctx context.Context, yaml string, messages ...wsx.Message) (*stream, func(), error) {
	return startStreamIn(ctx, service.NewEnvironment(), yaml, messages...)
}

func startStreamIn(
	ctx context.Context, env *service.Environment, yaml string, messages ...wsx.Message,
) (*stream, func(), error) {
	s := &stream{sent: &counter{reached: make(chan struct{}, 1)}, feed: make(chan int), templates: messages}
	err := env.RegisterMetricsExporter("count", service.NewConfigSpec(),
		func(*service.ParsedConfig, *service.Logger) (service.MetricsExporter, error) {
			return sentMetrics{s.sent}, nil
		})
	if err != nil {
		return nil, nil, err
	}
	err = env.RegisterBatchInput("feed", service.NewConfigSpec(),
		func(*service.ParsedConfig, *service.Resources) (service.BatchInput, error) {
			if s.templates == nil {
				return feedInput{s}, nil
			}
			return service.AutoRetryNacksBatched(feedInput{s}), nil
		})
	if err != nil {
		return nil, nil, err
	}
	b := env.NewStreamBuilder()
	// Use the engine's own logger. Unlike one made from slog, it does not format messages
	// that it does not log.
	if err := b.SetYAML(yaml + "\nmetrics: { count: {} }\nlogger: { level: NONE }"); err != nil {
		return nil, nil, err
	}
	if s.Stream, err = b.Build(); err != nil {
		return nil, nil, err
	}
	go func() { _ = s.Run(context.WithoutCancel(ctx)) }() // a failure shows as a count that does not rise
	return s, func() { _ = s.StopWithin(10 * time.Second) }, nil
}

// sentMetrics is a metrics exporter that counts only the messages that outputs have sent.
type sentMetrics struct{ sent *counter }

func (c sentMetrics) NewCounterCtor(name string, _ ...string) service.MetricsExporterCounterCtor {
	if name == "output_sent" {
		return func(...string) service.MetricsExporterCounter { return c.sent }
	}
	return func(...string) service.MetricsExporterCounter { return discardMetric{} }
}

func (sentMetrics) NewTimerCtor(string, ...string) service.MetricsExporterTimerCtor {
	return func(...string) service.MetricsExporterTimer { return discardMetric{} }
}

func (sentMetrics) NewGaugeCtor(string, ...string) service.MetricsExporterGaugeCtor {
	return func(...string) service.MetricsExporterGauge { return discardMetric{} }
}

func (sentMetrics) Close(context.Context) error { return nil }

// discardMetric is a metric that discards its values.
type discardMetric struct{}

func (discardMetric) Incr(int64)   {}
func (discardMetric) Timing(int64) {}
func (discardMetric) Set(int64)    {}

// feedInput is the input named feed.
type feedInput struct{ stream *stream }

func (feedInput) Connect(context.Context) error { return nil }

func (f feedInput) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	select {
	case n := <-f.stream.feed:
		batch := make(service.MessageBatch, n)
		for i := range batch {
			if len(f.stream.templates) > 0 {
				batch[i] = newMessage(&f.stream.templates[i])
			} else {
				batch[i] = service.NewMessage([]byte(requestData))
			}
		}
		return batch, func(context.Context, error) error { return nil }, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

func (feedInput) Close(context.Context) error { return nil }
