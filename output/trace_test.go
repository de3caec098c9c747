package output_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/otlptest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	_ "github.com/zato-connect/zato-connect/tracer"
)

func TestPublishingIsASpanWithTheAttributesOfTheMessage(t *testing.T) {
	server, collector := startServer(t), otlptest.Start(t)
	s := streamtest.Start(t, publisher(server, topic, "correl_id: c-1")+collector.TracerYAML())
	require.NoError(t, s.AwaitAck(s.Feed("x")))
	s.Stop(streamtest.Timeout)
	span := collector.SpansNamed("publish /my/topic", 1)[0]
	assert.Equal(t, "SPAN_KIND_PRODUCER", span.Kind)
	assert.Equal(t, map[string]string{
		"messaging.system":                  "zato",
		"messaging.operation.name":          "publish",
		"messaging.operation.type":          "send",
		"messaging.destination.name":        "/my/topic",
		"messaging.message.id":              server.Published()[0].ID,
		"messaging.message.conversation_id": "c-1",
	}, span.Attributes)
	assert.False(t, span.Failed)
	assert.Equal(t, collector.SpansNamed("input_feed", 1)[0].ID, span.Parent)
	assert.NotContains(t, collector.Text(), "secret1")
}

func TestSpanOfThePublishingIsInjected(t *testing.T) {
	for name, fields := range map[string]string{
		"by the field": `inject_tracing_map: 'meta = @.merge(this)', correl_id: '${! @traceparent }'`,
		"by function":  `correl_id: '${! tracing_span().traceparent }'`,
	} {
		server, collector := startServer(t), otlptest.Start(t)
		s := streamtest.Start(t, publisher(server, topic, fields)+collector.TracerYAML())
		require.NoError(t, s.AwaitAck(s.Feed("x")))
		s.Stop(streamtest.Timeout)
		span := collector.SpansNamed("publish /my/topic", 1)[0]
		assert.Contains(t, publishRequests(server)[0], `"correl_id":"00-`+span.Trace+"-"+span.ID+`-01"`, name)
	}
}

func TestSpanOfFailedPublishingHasTheError(t *testing.T) {
	for kind, c := range map[string]struct{ fields, status string }{
		"403":       {"topic: /no/such", "You are not allowed"},
		"invalid":   {"topic: /no/such, priority: '${! 99 }'", "priority: is 99"},
		"timed_out": {topic + ", timeout: 100ms", "waiting for the answer"},
	} {
		server, collector := startServer(t), otlptest.Start(t)
		if kind == "timed_out" {
			server.DropResponses(1)
		}
		s := streamtest.Start(t, publisher(server, c.fields)+collector.TracerYAML())
		require.Error(t, s.AwaitAck(s.Feed("x")))
		s.Stop(streamtest.Timeout)
		name := "publish " + strings.TrimSuffix(strings.Fields(c.fields)[1], ",")
		span := collector.SpansNamed(name, 1)[0]
		assert.True(t, span.Failed, kind)
		assert.Contains(t, span.Status, c.status)
		assert.Contains(t, span.EventsByName["exception"], c.status)
		assert.Equal(t, kind, span.Attributes["error.type"])
	}
}

func TestEachAttemptToPublishIsASpan(t *testing.T) {
	server, collector := startServer(t), otlptest.Start(t)
	s := streamtest.Start(t, publisher(server, topic, "timeout: 100ms")+collector.TracerYAML())
	require.NoError(t, s.AwaitAck(s.Feed("before")))
	server.Stop()
	s.AwaitLog("connection ended")
	acked := s.Feed("meanwhile")
	s.AwaitLog("Failed to connect")
	require.NoError(t, server.Restart())
	require.NoError(t, s.AwaitAck(acked))
	s.Stop(streamtest.Timeout)
	spans := collector.SpansNamed("publish /my/topic", 3)
	assert.True(t, spans[1].Failed)
	assert.Equal(t, "not_connected", spans[1].Attributes["error.type"])
	assert.False(t, spans[2].Failed)
	assert.Equal(t, spans[1].Trace, spans[2].Trace)
}

func TestEachMessageOfAListHasItsSpan(t *testing.T) {
	const longClientIDs = `correl_id: '${! content() }', ext_client_id: '${! content().repeat(100) }'`
	for name, fields := range map[string]string{
		"plain":    longClientIDs,
		"injected": longClientIDs + `, inject_tracing_map: 'meta = @.merge(this)'`,
	} {
		server, collector := startCompanion(t), otlptest.Start(t)
		s := streamtest.Start(t, listPublisher(server, topic, fields)+collector.TracerYAML())
		const refused = "333"
		failed := feed(s, "1", refused, "2").failures(t)
		assert.Len(t, failed, 1, name)
		assert.Contains(t, failed[refused], "400 bad ext_client_id", name)
		s.Stop(streamtest.Timeout)
		ids := map[string]string{}
		for _, span := range collector.SpansNamed("publish /my/topic", 3) {
			conversation := span.Attributes["messaging.message.conversation_id"]
			ids[conversation] = span.Attributes["messaging.message.id"]
			assert.Equal(t, conversation == refused, span.Failed, name)
			if span.Failed {
				assert.Equal(t, "400", span.Attributes["error.type"])
			}
		}
		published := server.Published()
		assert.Equal(t, map[string]string{"1": published[0].ID, "2": published[1].ID, refused: ""}, ids, name)
	}
}
