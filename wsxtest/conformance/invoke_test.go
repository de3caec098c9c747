package conformance_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

func wrongSecretIsRefused(t *testing.T, tgt testTarget) {
	t.Helper()
	tgt.config.Secret += "-wrong"
	require.ErrorIs(t, tgt.client(t).AwaitReady(t.Context()), wsx.ErrLoginRefused)
}

func resultsKeepTheirType(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.client(t)
	for _, request := range []string{
		`{"a":1,"l":[1,2.5,true],"n":null,"ż":"ółć"}`, `[1,2,3]`, `"hello"`, `"{\"a\": 1}"`, `5`, `true`,
	} {
		answer, err := c.Invoke(t.Context(), "my.echo", json.RawMessage(request))
		require.NoError(t, err, request)
		assert.Equal(t, request, compact(t, answer))
	}
}

func falsyResultsArriveEmpty(t *testing.T, tgt testTarget) {
	t.Helper()
	answer, err := tgt.client(t).Invoke(t.Context(), "my.nothing", map[string]int{"x": 1})
	require.NoError(t, err)
	assert.Equal(t, `""`, compact(t, answer))
}

func failuresCarryStatusAndCID(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.client(t)
	for service, status := range map[string]int{"my.fail": 500, "my.no-such": 403} {
		_, err := c.Invoke(t.Context(), service, map[string]int{"x": 1})
		serverErr := serverError(t, err)
		assert.Equal(t, status, serverErr.Status, service)
		assert.NotEmpty(t, serverErr.CID, service)
		assert.Contains(t, err.Error(), service)
		assert.Equal(t, wsx.WasSent, wsx.SendStatusOf(err))
	}
}

// requestsRunOneAtATime makes two calls at the same time on one connection. Together
// they take at least as long as both services, whichever call the server reads first.
func requestsRunOneAtATime(t *testing.T, tgt testTarget) {
	t.Helper()
	tgt.config.CallsPerConnection = 2
	c := tgt.client(t)
	require.NoError(t, c.AwaitReady(t.Context()))
	results := make(chan error, 2)
	began := time.Now()
	for range 2 {
		go func() {
			_, err := c.Invoke(t.Context(), "my.sleep", map[string]float64{"seconds": 0.6})
			results <- err
		}()
	}
	require.NoError(t, <-results)
	require.NoError(t, <-results)
	assert.GreaterOrEqual(t, time.Since(began), 1200*time.Millisecond, "the services ran at the same time")
}

func largeFramesPass(t *testing.T, tgt testTarget) {
	t.Helper()
	text := strings.Repeat("żółć ", 1<<18)
	answer, err := tgt.client(t).Invoke(t.Context(), "my.echo", text)
	require.NoError(t, err)
	var echoed string
	require.NoError(t, json.Unmarshal(answer, &echoed))
	same := text == echoed // not assert.Equal, which would print two megabytes
	assert.True(t, same, "%d bytes came back as %d", len(text), len(echoed))
}

func clientIDCanBeShared(t *testing.T, tgt testTarget) {
	t.Helper()
	tgt.config.ClientID = "conformance.same"
	first, second := tgt.client(t), tgt.client(t)
	for _, c := range []*wsx.Client{first, second, first} {
		_, err := c.Invoke(t.Context(), "zato.ping", nil)
		require.NoError(t, err)
	}
}

func ownMessageIDIsAnswered(t *testing.T, tgt testTarget) {
	t.Helper()
	resp, err := tgt.client(t).Call(t.Context(), wsx.Call{Service: "zato.ping", MessageID: "my-own-id"})
	require.NoError(t, err)
	assert.Equal(t, "my-own-id", resp.MessageID)
	assert.JSONEq(t, `{"pong":"zato"}`, string(resp.Data))
}

func closeFrameIsEchoed(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.client(t)
	require.NoError(t, c.AwaitReady(t.Context()))
	began := time.Now()
	require.NoError(t, c.Close())
	assert.Less(t, time.Since(began), 500*time.Millisecond, "the close frame was not echoed")
	_, err := c.Invoke(t.Context(), "zato.ping", nil)
	require.ErrorIs(t, err, wsx.ErrClosed)
}
