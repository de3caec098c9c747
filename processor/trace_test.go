package processor_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/otlptest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	_ "github.com/zato-connect/zato-connect/tracer"
)

func TestCallIsASpanWithTheAttributesOfTheMessage(t *testing.T) {
	server, collector := startServer(t), otlptest.Start(t)
	s := streamtest.Start(t, caller(server, gateway, "service: fail.odd")+collector.TracerYAML())
	acked := s.Feed("1", "2")
	batch := s.Next()
	require.NoError(t, s.AwaitAck(acked))
	s.Stop(streamtest.Timeout)
	id, _ := batch[1].MetaGet("zato_request_id")
	calls := collector.SpansNamed("invoke fail.odd", 2)
	if !calls[0].Failed {
		calls[0], calls[1] = calls[1], calls[0] // they ran in parallel
	}
	failed, succeeded := calls[0], calls[1]
	assert.Equal(t, "SPAN_KIND_CLIENT", succeeded.Kind)
	assert.Equal(t, map[string]string{
		"messaging.system":           "zato",
		"messaging.operation.name":   "invoke",
		"messaging.operation.type":   "send",
		"messaging.destination.name": "fail.odd",
		"messaging.message.id":       id,
	}, succeeded.Attributes)
	assert.True(t, failed.Failed)
	assert.Contains(t, failed.Status, "400 odd")
	assert.Equal(t, "400", failed.Attributes["error.type"])
	var parents []string
	for _, span := range collector.SpansNamed("zato_wsx", 2) { // the spans of the engine, one per message
		parents = append(parents, span.ID)
	}
	assert.ElementsMatch(t, parents, []string{failed.Parent, succeeded.Parent})
	assert.NotContains(t, collector.Text(), "secret1")
}

func TestCallOfAChannelOnASingleServiceHasNoDestination(t *testing.T) {
	server, collector := startServer(t), otlptest.Start(t)
	s := streamtest.Start(t, caller(server, single)+collector.TracerYAML())
	acked := s.Feed("x")
	s.Next()
	require.NoError(t, s.AwaitAck(acked))
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, collector.SpansNamed("invoke", 1)[0].Attributes, "messaging.destination.name")
}
