package conformance_test

import (
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// Types of the server's frames.
const (
	typeSession   = "zwsx.rspa"
	typeOK        = "zwsx.rspok"
	typeError     = "zwsx.rsperr"
	typeForbidden = "zwsx.merr"
	typeMessages  = "zwsx.psrq"
)

// Ends of a connection.
const (
	kindText  = "text"
	kindClose = "close"
	kindEOF   = "eof"
)

// peer is a WebSocket client that sends what a test wants and hides nothing of what the
// server sends. It is for what wsx.Client does not let a caller see or do.
type peer struct {
	ws    *websocket.Conn
	login fields // what a login has in meta
	token string
	ids   int
	// pings are the payloads of the server's pings. Each is answered, unless silent is
	// set.
	pings  []string
	pongs  []string
	silent bool
}

// event is a frame of the server, or the end of the connection.
type event struct {
	kind string
	Meta struct {
		ID           string `json:"id"`
		Timestamp    string `json:"timestamp"`
		MsgType      string `json:"msg_type"`
		InReplyTo    string `json:"in_reply_to"`
		Status       int    `json:"status"`
		ErrorMessage string `json:"error_message"`
	} `json:"meta"`
	Data   json.RawMessage `json:"data"`
	code   int
	reason string
}

// dial connects and does not log in.
func (tgt testTarget) dial(t *testing.T) *peer {
	t.Helper()
	dialer := websocket.Dialer{EnableCompression: true, Subprotocols: []string{"json"}, WriteBufferSize: 512}
	ws, resp, err := dialer.DialContext(t.Context(), tgt.config.Address, nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 101, resp.StatusCode)
	require.Empty(t, resp.Header.Get("Sec-Websocket-Extensions"))
	require.Empty(t, resp.Header.Get("Sec-Websocket-Protocol"))
	t.Cleanup(func() { _ = ws.Close() })
	p := &peer{ws: ws, login: fields{"username": tgt.config.Username, "secret": tgt.config.Secret.Reveal()}}
	ws.SetPingHandler(func(payload string) error {
		p.pings = append(p.pings, payload)
		if p.silent {
			return nil
		}
		return ws.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(time.Second))
	})
	ws.SetPongHandler(func(payload string) error {
		p.pongs = append(p.pongs, payload)
		return nil
	})
	return p
}

// peer connects and logs in.
func (tgt testTarget) peer(t *testing.T) *peer {
	t.Helper()
	p := tgt.dial(t)
	p.logIn(t)
	return p
}

func (p *peer) logIn(t *testing.T) {
	t.Helper()
	got := p.await(t, p.send(t, with(p.login, fields{"action": "create-session"}), nil))
	var data struct {
		Token string `json:"token"`
	}
	require.NoError(t, json.Unmarshal(got.Data, &data))
	p.token = data.Token
}

// with returns the fields of both. Those of the second come first.
func with(a, b fields) fields {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// frame returns a frame and its id. Fields of meta replace the usual ones, and null
// removes them.
func (p *peer) frame(t *testing.T, meta fields, data any) (frame []byte, id string) {
	t.Helper()
	p.ids++
	id = "conformance." + strconv.Itoa(p.ids)
	all := fields{
		"action": "invoke-service", "id": id, "timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000000"),
		"client_id": "conformance", "client_name": "conformance",
	}
	if p.token != "" {
		all["token"] = p.token
	}
	maps.Copy(all, meta)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	content := fields{"meta": all}
	if data != nil {
		content["data"] = data
	}
	frame, err := json.Marshal(content)
	require.NoError(t, err)
	return frame, id
}

func (p *peer) write(t *testing.T, kind int, payload []byte) {
	t.Helper()
	require.NoError(t, p.ws.WriteMessage(kind, payload))
}

// send sends a frame and returns its id.
func (p *peer) send(t *testing.T, meta fields, data any) string {
	t.Helper()
	frame, id := p.frame(t, meta, data)
	p.write(t, websocket.TextMessage, frame)
	return id
}

// invoke asks for a service and returns the id of the request.
func (p *peer) invoke(t *testing.T, service string, request any) string {
	t.Helper()
	return p.send(t, nil, fields{"service": service, "request": request})
}

// next returns the next frame of the server, or the end of the connection.
func (p *peer) next(t *testing.T) event {
	t.Helper()
	require.NoError(t, p.ws.SetReadDeadline(time.Now().Add(time.Minute)))
	_, payload, err := p.ws.ReadMessage()
	var closed *websocket.CloseError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		return event{kind: kindClose, code: closed.Code, reason: closed.Text}
	case errors.As(err, &timeout) && timeout.Timeout():
		require.FailNow(t, "the server sends nothing")
	case err != nil:
		return event{kind: kindEOF}
	}
	got := event{kind: kindText}
	require.NoError(t, json.Unmarshal(payload, &got), "%s", payload)
	return got
}

// await returns the next frame of the server that is no message of a topic. It has to be
// the answer to a request.
func (p *peer) await(t *testing.T, id string) event {
	t.Helper()
	for {
		got := p.next(t)
		if got.Meta.MsgType != typeMessages {
			require.Equal(t, id, got.Meta.InReplyTo, "%+v", got)
			return got
		}
	}
}

// call invokes a service and decodes what is in the gateway's wrapper.
func (p *peer) call(t *testing.T, service string, request, into any) event {
	t.Helper()
	got := p.await(t, p.invoke(t, service, request))
	require.Equal(t, 200, got.Meta.Status, "%s: %s", service, got.Meta.ErrorMessage)
	var data struct {
		Response struct {
			Wrapped json.RawMessage `json:"zato_gateway_response"`
		} `json:"response"`
	}
	require.NoError(t, json.Unmarshal(got.Data, &data))
	require.NoError(t, json.Unmarshal(data.Response.Wrapped, into), "%s", got.Data)
	return got
}

// requireAlive requires that nothing came for what was sent before, and that the
// connection answers.
func (p *peer) requireAlive(t *testing.T) {
	t.Helper()
	var pong any
	p.call(t, "zato.ping", nil, &pong)
}

// requireForbidden requires a 403 that names no request, and then the end of the stream.
func (p *peer) requireForbidden(t *testing.T) {
	t.Helper()
	got := p.next(t)
	require.Equal(t, typeForbidden, got.Meta.MsgType)
	require.Equal(t, 403, got.Meta.Status)
	require.Empty(t, got.Meta.InReplyTo)
	require.Equal(t, kindEOF, p.next(t).kind)
}
