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

// calls are the behaviours of the invocation of services.
func calls() map[string]behaviour {
	return map[string]behaviour{
		"results keep their type":                          {run: resultsKeepTheirType},
		"a whole number keeps all its digits":              {run: wholeNumbersKeepTheirDigits},
		"any text comes back as it was":                    {run: anyTextPasses},
		"a falsy result arrives as an empty string":        {run: falsyResultsArriveEmpty},
		"with the companion a falsy request arrives empty": {withCompanion, falsyRequestArrivesEmpty},
		"failures carry a status and a cid":                {run: failuresCarryStatusAndCID},
		"the cid of a failure is the id of its frame":      {run: cidIsTheIDOfTheFrame},
		"a request that names no service is a 500":         {run: requestWithoutServiceFails},
		"a service that is not allowed is a 403":           {run: otherServiceIsForbidden},
		"requests of one connection run one at a time":     {run: requestsRunOneAtATime},
		"responses come in the order of their requests":    {run: responsesComeInOrder},
		"requests of two connections run at the same time": {run: connectionsRunAtTheSameTime},
		"large requests and results pass":                  {run: largeFramesPass},
		"a response has the caller's own message id":       {run: ownMessageIDIsAnswered},
	}
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

func ownMessageIDIsAnswered(t *testing.T, tgt testTarget) {
	t.Helper()
	resp, err := tgt.client(t).Call(t.Context(), wsx.Call{Service: "zato.ping", MessageID: "my-own-id"})
	require.NoError(t, err)
	assert.Equal(t, "my-own-id", resp.MessageID)
	assert.JSONEq(t, `{"pong":"zato"}`, string(resp.Data))
}

func wholeNumbersKeepTheirDigits(t *testing.T, tgt testTarget) {
	t.Helper()
	const request = `{"n":123456789012345678901234567890}`
	answer, err := tgt.client(t).Invoke(t.Context(), "my.echo", json.RawMessage(request))
	require.NoError(t, err)
	var got struct {
		N json.Number `json:"n"`
	}
	require.NoError(t, json.Unmarshal(answer, &got))
	assert.Equal(t, "123456789012345678901234567890", got.N.String())
}

func anyTextPasses(t *testing.T, tgt testTarget) {
	t.Helper()
	text := "\x00\x01\x7f \u2028 żółć 😀 </script> \"q\" \\ / \r\n\t"
	var echoed string
	call(t, tgt.client(t), "my.echo", text, &echoed)
	assert.Equal(t, text, echoed)
}

// falsyRequestArrivesEmpty is a difference on purpose. Without the companion, the service
// gets the gateway's own arguments, and one that returns its request has no answer.
func falsyRequestArrivesEmpty(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.client(t)
	for _, request := range []any{nil, "", 0, false, []any{}, fields{}} {
		answer, err := c.Invoke(t.Context(), "my.echo", request)
		require.NoError(t, err, request)
		assert.Equal(t, `""`, compact(t, answer), request)
	}
}

func cidIsTheIDOfTheFrame(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	got := p.await(t, p.invoke(t, "my.fail", 1))
	assert.Equal(t, typeError, got.Meta.MsgType)
	assert.NotEmpty(t, got.Meta.ErrorMessage)
	assert.JSONEq(t, `{"cid": "`+got.Meta.ID+`"}`, string(got.Data))
}

func requestWithoutServiceFails(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	for _, data := range []any{nil, fields{}, fields{"service": ""}, fields{"request": 1}} {
		assert.Equal(t, 500, p.await(t, p.send(t, nil, data)).Meta.Status, data)
	}
}

func otherServiceIsForbidden(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.client(t)
	for _, service := range []string{"my.no-such", "zato.server.get-info", "connect.release"} {
		requireError(t, attempt(t, c, service, fields{"x": 1}), 403, "")
	}
}

func responsesComeInOrder(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	ids := []string{p.invoke(t, "my.sleep", fields{"seconds": 0.3}), p.invoke(t, "my.fail", 1), p.invoke(t, "my.echo", 1)}
	for _, id := range ids {
		p.await(t, id)
	}
}

func connectionsRunAtTheSameTime(t *testing.T, tgt testTarget) {
	t.Helper()
	var peers []*peer
	var ids []string
	for range 4 {
		peers = append(peers, tgt.peer(t))
	}
	began := time.Now()
	for _, p := range peers {
		ids = append(ids, p.invoke(t, "my.sleep", fields{"seconds": 2.5}))
	}
	for i, p := range peers {
		p.await(t, ids[i])
	}
	assert.Less(t, time.Since(began), 7500*time.Millisecond, "the services ran one after the other")
}
