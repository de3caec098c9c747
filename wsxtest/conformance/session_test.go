package conformance_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// sessions are the behaviours of a connection and its session.
func sessions() map[string]behaviour {
	return map[string]behaviour{
		"a wrong path is a plain 404":                               {run: wrongPathIsNotFound},
		"a login is answered with a token":                          {run: loginIsAnsweredWithAToken},
		"a wrong secret is refused":                                 {run: wrongSecretIsRefused},
		"a refused login ends the connection after a 403":           {run: refusedLoginEndsTheConnection},
		"an incomplete login gets a 403 when the time is over":      {run: incompleteLoginTimesOut},
		"a connection without a login gets a 403 and stays open":    {run: silentConnectionTimesOut},
		"attributes are a text and a client name may be an object":  {run: attributesAreAText},
		"two connections may use one client id":                     {run: clientIDCanBeShared},
		"a request before the login ends the connection":            {run: requestBeforeLoginIsRefused},
		"a request without a token ends the connection":             {run: requestWithoutTokenIsRefused},
		"a request with a wrong token ends the connection":          {run: requestWithWrongTokenIsRefused},
		"a second login gets no answer and ends the session":        {run: secondLoginEndsTheSession},
		"a frame without an id or a timestamp is not answered":      {run: incompleteFramesAreIgnored},
		"a frame that is not a JSON object is not answered":         {run: otherJSONIsIgnored},
		"a frame without an action is a response":                   {run: frameWithoutActionIsAResponse},
		"a frame with an unknown action invokes a service":          {run: unknownActionInvokes},
		"a response that nobody waits for does no harm":             {run: strayResponseDoesNoHarm},
		"bytes that are not UTF-8 get a 422 that names no request":  {run: invalidBytesAreRefused},
		"before the login, bytes that are not UTF-8 end it by 4001": {run: invalidBytesBeforeLogin},
		"a binary frame is answered as text":                        {run: binaryFrameIsAnswered},
		"the fragments of a frame are joined":                       {run: fragmentsAreJoined},
		"a ping is answered with its payload":                       {run: pingIsAnswered},
		"the server echoes a close frame":                           {run: closeFrameIsEchoed},
		"the server echoes the code and the reason of a close":      {run: closeReasonIsEchoed},

		"the server pings with JSON":               {needs: shortPings, run: serverPings},
		"without pongs the server closes by 4002":  {needs: shortPings, run: missedPingsClose},
		"a long service outlives one missed ping":  {needs: shortPings, run: longServiceIsAnswered},
		"a service may not outlive two ping times": {needs: shortPings, run: endlessServiceEndsItsConnection},
	}
}

func wrongPathIsNotFound(t *testing.T, tgt testTarget) {
	t.Helper()
	_, resp, err := websocket.DefaultDialer.DialContext(t.Context(), tgt.config.Address+".no-such", nil)
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusNotFound, resp.StatusCode)
}

func loginIsAnsweredWithAToken(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.dial(t)
	got := p.await(t, p.send(t, with(p.login, fields{"action": "create-session"}), nil))
	assert.Equal(t, typeSession, got.Meta.MsgType)
	assert.Equal(t, 200, got.Meta.Status)
	assert.NotEmpty(t, got.Meta.ID)
	assert.NotEmpty(t, got.Meta.Timestamp)
	assert.Contains(t, string(got.Data), `"zwsxt.`)
}

func wrongSecretIsRefused(t *testing.T, tgt testTarget) {
	t.Helper()
	tgt.config.Secret += "-wrong"
	require.ErrorIs(t, tgt.client(t).AwaitReady(t.Context()), wsx.ErrLoginRefused)
}

func refusedLoginEndsTheConnection(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.dial(t)
	p.send(t, with(p.login, fields{"action": "create-session", "secret": "wrong"}), nil)
	p.requireForbidden(t)
}

func incompleteLoginTimesOut(t *testing.T, tgt testTarget) {
	t.Helper()
	for _, login := range []fields{{"secret": nil}, {"attrs": fields{"key": "value"}}} {
		p := tgt.dial(t)
		p.send(t, with(p.login, with(login, fields{"action": "create-session"})), nil)
		got := p.next(t)
		assert.Equal(t, typeForbidden, got.Meta.MsgType, login)
		assert.Empty(t, got.Meta.InReplyTo, login)
	}
}

func silentConnectionTimesOut(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.dial(t)
	got := p.next(t)
	assert.Equal(t, typeForbidden, got.Meta.MsgType)
	assert.Equal(t, 403, got.Meta.Status)
	require.NoError(t, p.ws.SetReadDeadline(time.Now().Add(500*time.Millisecond)))
	_, _, err := p.ws.ReadMessage()
	var timeout interface{ Timeout() bool }
	require.ErrorAs(t, err, &timeout, "the server ended the connection")
	assert.True(t, timeout.Timeout())
}

func attributesAreAText(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.dial(t)
	p.login["attrs"], p.login["client_name"] = "site=north\nn=1", fields{"app": "conformance", "v": 1}
	p.logIn(t)
	p.requireAlive(t)
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

func requestBeforeLoginIsRefused(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.dial(t)
	p.invoke(t, "zato.ping", nil)
	p.requireForbidden(t)
}

func requestWithoutTokenIsRefused(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	p.token = ""
	p.invoke(t, "zato.ping", nil)
	p.requireForbidden(t)
}

func requestWithWrongTokenIsRefused(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	p.token += "0"
	p.invoke(t, "zato.ping", nil)
	p.requireForbidden(t)
}

func secondLoginEndsTheSession(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	p.send(t, with(p.login, fields{"action": "create-session"}), nil)
	p.invoke(t, "zato.ping", nil)
	p.requireForbidden(t)
}

func incompleteFramesAreIgnored(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	for _, field := range []string{"id", "timestamp"} {
		p.send(t, fields{field: nil}, fields{"service": "zato.ping"})
		p.requireAlive(t)
	}
}

func otherJSONIsIgnored(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	for _, frame := range []string{`[]`, `not JSON`, `[{"meta": {}}]`} {
		p.write(t, websocket.TextMessage, []byte(frame))
		p.requireAlive(t)
	}
}

func frameWithoutActionIsAResponse(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	p.send(t, fields{"action": nil}, fields{"service": "zato.ping"})
	p.requireAlive(t)
}

func unknownActionInvokes(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	got := p.await(t, p.send(t, fields{"action": "no-such"}, fields{"service": "zato.ping"}))
	assert.Equal(t, typeOK, got.Meta.MsgType)
}

func strayResponseDoesNoHarm(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	p.send(t, fields{"action": "client-response", "in_reply_to": "no such"}, fields{"response": 1})
	p.requireAlive(t)
}

func invalidBytesAreRefused(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	p.write(t, websocket.TextMessage, []byte("{\"\xff\": 1}"))
	got := p.next(t)
	assert.Equal(t, typeError, got.Meta.MsgType)
	assert.Equal(t, 422, got.Meta.Status)
	assert.Equal(t, "<no-msg-id>", got.Meta.InReplyTo)
	p.requireAlive(t)
}

func invalidBytesBeforeLogin(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.dial(t)
	p.write(t, websocket.TextMessage, []byte("\xff"))
	got := p.next(t)
	assert.Equal(t, kindClose, got.kind)
	assert.Equal(t, 4001, got.code)
}

func binaryFrameIsAnswered(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	frame, id := p.frame(t, nil, fields{"service": "zato.ping"})
	p.write(t, websocket.BinaryMessage, frame)
	assert.Equal(t, typeOK, p.await(t, id).Meta.MsgType)
}

func fragmentsAreJoined(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t) // its write buffer is smaller than the frame
	text, echoed := strings.Repeat("żółć", 1000), ""
	p.call(t, "my.echo", text, &echoed)
	assert.Equal(t, text, echoed)
}

func pingIsAnswered(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	require.NoError(t, p.ws.WriteControl(websocket.PingMessage, []byte("any text"), time.Now().Add(time.Second)))
	p.requireAlive(t)
	assert.Equal(t, []string{"any text"}, p.pongs)
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

func closeReasonIsEchoed(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	p.write(t, websocket.CloseMessage, websocket.FormatCloseMessage(1000, "żółć"))
	got := p.next(t)
	assert.Equal(t, kindClose, got.kind)
	assert.Equal(t, 1000, got.code)
	assert.Equal(t, "żółć", got.reason)
}
