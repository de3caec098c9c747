package conformance_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func serverPings(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.short.peer(t)
	for len(p.pings) == 0 {
		var slept any
		p.call(t, "my.sleep", fields{"seconds": 0.05}, &slept)
	}
	var payload fields
	assert.NoError(t, json.Unmarshal([]byte(p.pings[0]), &payload), p.pings[0])
}

func missedPingsClose(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.short.peer(t)
	p.silent = true
	got := p.next(t)
	require.Equal(t, kindClose, got.kind)
	assert.Equal(t, 4002, got.code)
	assert.Len(t, p.pings, 2)
}

// longServiceIsAnswered calls a service that takes longer than the server waits for one
// pong, and shorter than it waits for two.
func longServiceIsAnswered(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.short.peer(t)
	var slept any
	p.call(t, "my.sleep", fields{"seconds": (tgt.short.missedAfter * 5 / 4).Seconds()}, &slept)
}

func endlessServiceEndsItsConnection(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.short.peer(t)
	p.invoke(t, "my.sleep", fields{"seconds": (tgt.short.missedAfter * 11 / 4).Seconds()})
	got := p.next(t)
	require.Equal(t, kindClose, got.kind)
	assert.Equal(t, 4002, got.code)
}
