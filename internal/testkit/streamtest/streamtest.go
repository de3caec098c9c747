// Package streamtest runs pipelines in tests. A test feeds messages into a pipeline,
// collects its output and reads its log and metrics.
package streamtest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"   // files and standard streams
	_ "github.com/redpanda-data/benthos/v4/public/components/pure" // mapping, generate, rate limits and others
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
)

// Timeout is how long the methods of a Stream wait for an event before the test fails.
const Timeout = 20 * time.Second

// Stream is a pipeline. Its configuration may use the input "feed", which reads the
// messages that are passed to [Stream.Feed], and the output "collect", whose messages
// [Stream.Next] returns.
type Stream struct {
	t        *testing.T
	stream   *service.Stream
	stopped  chan error
	feed     chan feedItem
	collect  chan collectItem
	log      logtest.Buffer
	http     *http.ServeMux
	stopOnce sync.Once
}

type feedItem struct {
	batch service.MessageBatch
	acked chan error
}

type collectItem struct {
	batch service.MessageBatch
	ack   chan error
}

// Start builds and runs a pipeline. It is stopped when the test ends.
func Start(t *testing.T, yaml string) *Stream {
	t.Helper()
	s := New(t, yaml)
	go func() { s.stopped <- s.stream.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() { s.Stop(Timeout) })
	return s
}

// New builds a pipeline without running it.
func New(t *testing.T, yaml string) *Stream {
	t.Helper()
	s := &Stream{
		t: t, stopped: make(chan error, 1), feed: make(chan feedItem), collect: make(chan collectItem),
		http: http.NewServeMux(),
	}
	env := service.NewEnvironment()
	require.NoError(t, env.RegisterBatchInput("feed", service.NewConfigSpec(),
		func(*service.ParsedConfig, *service.Resources) (service.BatchInput, error) {
			return (*feedInput)(s), nil
		}))
	require.NoError(t, env.RegisterBatchOutput("collect", service.NewConfigSpec(),
		func(*service.ParsedConfig, *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			return (*collectOutput)(s), service.BatchPolicy{}, 1, nil
		}))
	b := env.NewStreamBuilder()
	require.NoError(t, b.SetYAML(yaml))
	require.NoError(t, b.SetMetricsYAML("json_api: {}"))
	b.SetHTTPMux(s.http)
	b.SetLogger(slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug - 4})))
	stream, err := b.Build()
	require.NoError(t, err)
	s.stream = stream
	return s
}

// ConnectionTests runs the connection tests of the pipeline and returns their results.
func (s *Stream) ConnectionTests() []error {
	s.t.Helper()
	results, err := s.stream.ConnectionTest(s.t.Context())
	require.NoError(s.t, err)
	var out []error
	for _, r := range results {
		out = append(out, r.Err)
	}
	return out
}

// Stop stops the pipeline. It fails the test if that takes longer than the limit.
func (s *Stream) Stop(limit time.Duration) {
	s.t.Helper()
	s.stopOnce.Do(func() {
		began := time.Now()
		err := s.stream.StopWithin(limit)
		require.NoError(s.t, err)
		assert.Less(s.t, time.Since(began), limit)
		<-s.stopped
	})
}

// AwaitEnd waits until the pipeline ends by itself.
func (s *Stream) AwaitEnd() {
	s.t.Helper()
	select {
	case err := <-s.stopped:
		require.NoError(s.t, err)
		s.stopOnce.Do(func() {})
	case <-time.After(Timeout):
		require.Fail(s.t, "the pipeline did not end", s.Log())
	}
}

// Feed passes messages to the pipeline as one batch. The returned channel receives the
// result of the batch: nil if it was acknowledged.
func (s *Stream) Feed(contents ...string) <-chan error {
	var batch service.MessageBatch
	for _, c := range contents {
		batch = append(batch, service.NewMessage([]byte(c)))
	}
	return s.FeedBatch(batch)
}

// FeedBatch passes a batch to the pipeline. The returned channel receives the result
// of the batch: nil if it was acknowledged.
func (s *Stream) FeedBatch(batch service.MessageBatch) <-chan error {
	s.t.Helper()
	acked := make(chan error, 1)
	select {
	case s.feed <- feedItem{batch, acked}:
	case <-time.After(Timeout):
		require.Fail(s.t, "the pipeline does not read its input", s.Log())
	}
	return acked
}

// AwaitAck waits for the result of a batch that was fed and returns it.
func (s *Stream) AwaitAck(acked <-chan error) error {
	s.t.Helper()
	select {
	case err := <-acked:
		return err
	case <-time.After(Timeout):
		require.Fail(s.t, "the batch was neither acknowledged nor rejected", s.Log())
		return nil
	}
}

// Next waits for the next batch of the output, acknowledges it and returns it.
func (s *Stream) Next() service.MessageBatch { s.t.Helper(); return s.Reject(nil) }

// Reject waits for the next batch of the output, rejects it with an error and returns
// it.
func (s *Stream) Reject(reason error) service.MessageBatch {
	s.t.Helper()
	return s.RejectWith(func(service.MessageBatch) error { return reason })
}

// RejectWith waits for the next batch of the output, rejects it and returns it. The
// reason function returns the error, which may be a batch error that names the failed
// messages.
func (s *Stream) RejectWith(reason func(service.MessageBatch) error) service.MessageBatch {
	s.t.Helper()
	select {
	case c := <-s.collect:
		c.ack <- reason(c.batch)
		return c.batch
	case <-time.After(Timeout):
		require.Fail(s.t, "the pipeline has no output", s.Log())
		return nil
	}
}

// NextTexts acknowledges batches of the output until they have n messages, and returns the
// contents of these messages.
func (s *Stream) NextTexts(n int) []string {
	s.t.Helper()
	var out []string
	for len(out) < n {
		out = append(out, Texts(s.t, s.Next())...)
	}
	return out
}

// Texts returns the contents of the messages in a batch.
func Texts(t *testing.T, batch service.MessageBatch) []string {
	t.Helper()
	var out []string
	for _, m := range batch {
		b, err := m.AsBytes()
		require.NoError(t, err)
		out = append(out, string(b))
	}
	return out
}

// Log returns the log of the pipeline, at all levels.
func (s *Stream) Log() string { return s.log.String() }

// AwaitLog waits until the log contains a text.
func (s *Stream) AwaitLog(text string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return strings.Contains(s.Log(), text) },
		Timeout, 5*time.Millisecond, "not logged: %q", text)
}

// AwaitMetricValue waits until a metric has the given value.
func (s *Stream) AwaitMetricValue(name string, value float64) {
	s.t.Helper()
	s.AwaitMetric(name, func(v float64) bool { return v == value })
}

// AwaitMetric waits until the value of a metric matches. That of a timer is its median.
func (s *Stream) AwaitMetric(name string, match func(float64) bool) {
	s.t.Helper()
	var body atomic.Value // the last look may still go on after the time-out
	matches := func() bool {
		response := httptest.NewRecorder()
		s.http.ServeHTTP(response, httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, "/metrics", http.NoBody))
		body.Store(response.Body.String())
		var metrics map[string]any
		if json.Unmarshal(response.Body.Bytes(), &metrics) != nil {
			return false
		}
		value := metrics[name]
		if timer, ok := value.(map[string]any); ok {
			value = timer["p50"]
		}
		number, ok := value.(float64)
		return ok && match(number)
	}
	if !assert.Eventually(s.t, matches, Timeout, 5*time.Millisecond) {
		require.Fail(s.t, "the metric has another value", "%s in %s", name, body.Load())
	}
}

// feedInput is the input "feed" of a Stream.
type feedInput Stream

func (*feedInput) Connect(context.Context) error { return nil }

func (f *feedInput) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	select {
	case item := <-f.feed:
		return item.batch, func(_ context.Context, err error) error {
			item.acked <- err
			return nil
		}, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

func (*feedInput) Close(context.Context) error { return nil }

// collectOutput is the output "collect" of a Stream.
type collectOutput Stream

func (*collectOutput) Connect(context.Context) error { return nil }

func (c *collectOutput) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	item := collectItem{batch, make(chan error, 1)}
	select {
	case c.collect <- item:
		return <-item.ack
	case <-ctx.Done():
		return errors.New("the test does not collect the output")
	}
}

func (*collectOutput) Close(context.Context) error { return nil }
