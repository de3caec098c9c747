// Package streamtest runs pipelines in tests: it feeds them, collects what comes
// out, and keeps their log.
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
	"testing"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"   // files, for examples
	_ "github.com/redpanda-data/benthos/v4/public/components/pure" // mapping, generate, rate limits and the like
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
)

// Limit is how long anything in a test may take before it has failed.
const Limit = 20 * time.Second

// Stream is a running pipeline. In its configuration the input "feed" delivers
// what Feed is given and the output "collect" hands to Next.
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

// Start runs a pipeline until the test ends.
func Start(t *testing.T, yaml string) *Stream {
	t.Helper()
	s := New(t, yaml)
	go func() { s.stopped <- s.stream.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() { s.Stop(Limit) })
	return s
}

// New builds a pipeline and does not run it.
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

// Tests returns what the pipeline's connection tests say.
func (s *Stream) Tests() []error {
	s.t.Helper()
	results, err := s.stream.ConnectionTest(s.t.Context())
	require.NoError(s.t, err)
	var out []error
	for _, r := range results {
		out = append(out, r.Err)
	}
	return out
}

// Stop ends the pipeline, which must not take longer than the limit.
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

// Ended waits until the pipeline has ended by itself.
func (s *Stream) Ended() {
	s.t.Helper()
	select {
	case err := <-s.stopped:
		require.NoError(s.t, err)
		s.stopOnce.Do(func() {})
	case <-time.After(Limit):
		require.Fail(s.t, "the pipeline did not end", s.Log())
	}
}

// Feed delivers messages as one batch and returns what becomes of it.
func (s *Stream) Feed(contents ...string) <-chan error {
	var batch service.MessageBatch
	for _, c := range contents {
		batch = append(batch, service.NewMessage([]byte(c)))
	}
	return s.FeedBatch(batch)
}

// FeedBatch delivers a batch and returns what becomes of it.
func (s *Stream) FeedBatch(batch service.MessageBatch) <-chan error {
	s.t.Helper()
	acked := make(chan error, 1)
	select {
	case s.feed <- feedItem{batch, acked}:
	case <-time.After(Limit):
		require.Fail(s.t, "the pipeline takes nothing", s.Log())
	}
	return acked
}

// Acked waits for what becomes of something that was fed.
func (s *Stream) Acked(acked <-chan error) error {
	s.t.Helper()
	select {
	case err := <-acked:
		return err
	case <-time.After(Limit):
		require.Fail(s.t, "nothing became of the batch", s.Log())
		return nil
	}
}

// Next returns the next batch that comes out and accepts it.
func (s *Stream) Next() service.MessageBatch { s.t.Helper(); return s.Refuse(nil) }

// Refuse returns the next batch that comes out and rejects it with an error.
func (s *Stream) Refuse(reason error) service.MessageBatch {
	s.t.Helper()
	return s.RefuseSome(func(service.MessageBatch) error { return reason })
}

// RefuseSome returns the next batch that comes out and rejects it with an error that
// may say which of its messages failed.
func (s *Stream) RefuseSome(reason func(service.MessageBatch) error) service.MessageBatch {
	s.t.Helper()
	select {
	case c := <-s.collect:
		c.ack <- reason(c.batch)
		return c.batch
	case <-time.After(Limit):
		require.Fail(s.t, "nothing came out", s.Log())
		return nil
	}
}

// Texts returns the contents of the next n messages.
func (s *Stream) Texts(n int) []string {
	s.t.Helper()
	var out []string
	for len(out) < n {
		out = append(out, Texts(s.t, s.Next())...)
	}
	return out
}

// Texts returns the contents of a batch.
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

// Log returns all that was logged, at every level.
func (s *Stream) Log() string { return s.log.String() }

// Logged waits until a text was logged.
func (s *Stream) Logged(text string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return strings.Contains(s.Log(), text) },
		Limit, 5*time.Millisecond, "not logged: %q", text)
}

// Metric waits until a metric has a value.
func (s *Stream) Metric(name string, value float64) {
	s.t.Helper()
	s.MetricIs(name, func(is float64) bool { return is == value })
}

// MetricIs waits until the value of a metric is as wanted.
func (s *Stream) MetricIs(name string, match func(float64) bool) {
	s.t.Helper()
	var body string
	matches := func() bool {
		response := httptest.NewRecorder()
		s.http.ServeHTTP(response, httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, "/metrics", http.NoBody))
		body = response.Body.String()
		var metrics map[string]any
		if json.Unmarshal(response.Body.Bytes(), &metrics) != nil {
			return false
		}
		value, ok := metrics[name].(float64)
		return ok && match(value)
	}
	if !assert.Eventually(s.t, matches, Limit, 5*time.Millisecond) {
		require.Fail(s.t, "no such value", "%s in %s", name, body)
	}
}

// feedInput is a Stream as an input.
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

// collectOutput is a Stream as an output.
type collectOutput Stream

func (*collectOutput) Connect(context.Context) error { return nil }

func (c *collectOutput) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	item := collectItem{batch, make(chan error, 1)}
	select {
	case c.collect <- item:
		return <-item.ack
	case <-ctx.Done():
		return errors.New("nobody collects")
	}
}

func (*collectOutput) Close(context.Context) error { return nil }
