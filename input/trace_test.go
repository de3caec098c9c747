package input_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/otlptest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	_ "github.com/zato-connect/zato-connect/tracer"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// The ids of two remote spans.
const (
	firstTrace, firstSpan   = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	secondTrace, secondSpan = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
)

func traceparent(trace, span string) string { return "00-" + trace + "-" + span + "-01" }

const extract = "extract_tracing_map: 'root.traceparent = @zato_correl_id'"

// publishTraced publishes a message for each remote span. Both arrive in one frame.
func publishTraced(t *testing.T, server *wsxtest.Server) {
	t.Helper()
	for _, parent := range []string{traceparent(firstTrace, firstSpan), traceparent(secondTrace, secondSpan)} {
		_, err := server.Publish(topic, "x", wsxtest.PublishOptions{CorrelID: parent})
		require.NoError(t, err)
	}
}

func startTraced(t *testing.T, fields ...string) (*wsxtest.Server, *otlptest.Collector, *streamtest.Stream) {
	t.Helper()
	server, collector := startServer(t, wsxtest.WithDeliveryInterval(300*time.Millisecond)), otlptest.Start(t)
	s := streamtest.Start(t, receiver(server, patched, fields...)+`
pipeline: { processors: [ { mapping: 'meta traceparent = tracing_span().traceparent' } ] }
`+collector.TracerYAML())
	subscribed(t, server)
	return server, collector, s
}

func TestSpanOfAMessageIsAChildOfThePublishersSpan(t *testing.T) {
	server, collector, s := startTraced(t, extract)
	key := subscribed(t, server).SubKey
	publishTraced(t, server)
	batch := s.Next()
	require.Len(t, batch, 2)
	s.Stop(streamtest.Timeout)
	spans := collector.SpansNamed("process "+topic, 2)
	for i, parent := range [][2]string{{firstTrace, firstSpan}, {secondTrace, secondSpan}} {
		id, _ := batch[i].MetaGet("zato_msg_id")
		assert.Equal(t, "SPAN_KIND_CONSUMER", spans[i].Kind)
		assert.Equal(t, parent[0], spans[i].Trace)
		assert.Equal(t, parent[1], spans[i].Parent)
		assert.False(t, spans[i].Failed)
		assert.Equal(t, map[string]string{
			"messaging.system":                  "zato",
			"messaging.operation.name":          "process",
			"messaging.operation.type":          "process",
			"messaging.destination.name":        topic,
			"messaging.message.id":              id,
			"messaging.message.conversation_id": traceparent(parent[0], parent[1]),
		}, spans[i].Attributes)
	}
	assert.NotContains(t, collector.Text(), "secret1")
	assert.NotContains(t, collector.Text(), key)
}

func TestEngineSpansAreChildrenOfTheMessagesSpan(t *testing.T) {
	server, collector, s := startTraced(t)
	publish(t, server, "x")
	s.Next()
	s.Stop(streamtest.Timeout)
	span := collector.SpansNamed("process "+topic, 1)[0]
	assert.Empty(t, span.Parent, "it has no trace context")
	for _, name := range []string{"mapping", "output_collect"} {
		assert.Equal(t, span.ID, collector.SpansNamed(name, 1)[0].Parent, name)
	}
	collector.SpansNamed("input_zato_wsx", 0)
}

func TestSpanEndsWhenTheMessageIsSettled(t *testing.T) {
	server, collector, s := startTraced(t)
	publish(t, server, "x")
	s.Reject(errors.New("not this time"))
	s.Next()
	s.Stop(streamtest.Timeout)
	spans := collector.SpansNamed("process "+topic, 2)
	assert.True(t, spans[0].Failed)
	assert.Equal(t, "not this time", spans[0].Status)
	assert.False(t, spans[1].Failed, "the retry succeeds")
	for i, output := range collector.SpansNamed("output_collect", 2) {
		assert.GreaterOrEqual(t, spans[i].End, output.End)
	}
}

func TestOnlySpansOfFailedMessagesHaveFailed(t *testing.T) {
	server, collector, s := startTraced(t, extract)
	publishTraced(t, server)
	batch := s.RejectWith(func(b service.MessageBatch) error {
		return service.NewBatchError(b, errors.New("one failed")).Failed(1, errors.New("not the second"))
	})
	require.Len(t, batch, 2)
	require.Len(t, s.Next(), 1)
	s.Stop(streamtest.Timeout)
	var states []string
	for _, span := range collector.SpansNamed("process "+topic, 3) {
		states = append(states, span.Trace+" "+span.Status)
	}
	assert.ElementsMatch(t, []string{firstTrace + " ", secondTrace + " not the second", secondTrace + " "}, states)
}

func TestTraceContextPassesWithoutATracer(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, receiver(server, patched, extract)+`
pipeline: { processors: [ { mapping: 'root = tracing_span().traceparent' } ] }`)
	subscribed(t, server)
	publishTraced(t, server)
	assert.Equal(t, []string{traceparent(firstTrace, firstSpan), traceparent(secondTrace, secondSpan)}, s.NextTexts(2))
}

func TestMessageWithoutATraceContextStartsANewTrace(t *testing.T) {
	for mapping, logged := range map[string]string{
		`root = throw("no trace")`: "no trace",
		`root = [ "text" ]`:        "expected an object",
		`root = deleted()`:         "",
		`root = { "a": 1 }`:        "",
	} {
		server, collector, s := startTraced(t, `extract_tracing_map: '`+mapping+`'`)
		publish(t, server, "x")
		s.Next()
		s.Stop(streamtest.Timeout)
		assert.Empty(t, collector.SpansNamed("process "+topic, 1)[0].Parent, mapping)
		assert.Equal(t, logged != "", strings.Contains(s.Log(), "Started a new trace for a message"), mapping)
		assert.Contains(t, s.Log(), logged)
	}
}

func TestSpanOfARequestIsAChildOfTheCallersSpan(t *testing.T) {
	server, collector := startServer(t), otlptest.Start(t)
	s := streamtest.Start(t, answerPipeline(server, "", "extract_tracing_map: 'root = this.trace'")+collector.TracerYAML())
	trace := map[string]string{"traceparent": traceparent(firstTrace, firstSpan)}
	answer := requestAsync(t, server, map[string]any{"trace": trace})
	s.Next()
	assert.Equal(t, "null", <-answer)
	s.Stop(streamtest.Timeout)
	span := collector.SpansNamed("input_zato_wsx_requests", 1)[0]
	assert.Equal(t, firstTrace, span.Trace)
	assert.Equal(t, firstSpan, span.Parent)
}

func TestResponsesOfTracedMessagesAreSentToZato(t *testing.T) {
	server, collector := startServer(t), otlptest.Start(t)
	s := streamtest.Start(t, receiver(server, patched, "respond_to_messages: true", extract)+`
pipeline: { processors: [ { mapping: 'root = "done"' }, { sync_response: {} } ] }
`+collector.TracerYAML())
	subscribed(t, server)
	publish(t, server, "x")
	s.Next()
	require.Eventually(t, func() bool { return len(server.Responses()) == 1 }, streamtest.Timeout, time.Millisecond)
	assert.Equal(t, `"done"`, string(server.Responses()[0].Response))
}
