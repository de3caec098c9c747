package wsxtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/zato-connect/zato-connect/wsxtest"
	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// event is a frame of the server, or the end of the connection.
type event struct {
	kind   string // a value of transcript.Event.Frame
	bytes  []byte
	code   int
	reason string
	at     time.Time
}

func (ev event) String() string {
	return fmt.Sprintf("%s %s %d %q", ev.kind, ev.bytes, ev.code, ev.reason)
}

// peer is a WebSocket client that sends nothing unless a test tells it to.
type peer struct {
	ws     *websocket.Conn
	conn   *corkedConn
	events chan event
	token  string
	ids    int
}

// corkedConn buffers writes while it is corked, to send several frames at once.
type corkedConn struct {
	net.Conn

	mu       sync.Mutex
	corked   bool
	buffered []byte
}

func (c *corkedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.corked {
		c.buffered = append(c.buffered, b...)
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *corkedConn) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = true
}

func (c *corkedConn) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.buffered
	c.corked, c.buffered = false, nil
	if len(held) == 0 {
		return nil
	}
	_, err := c.Conn.Write(held)
	return err
}

// dial connects to a server, over an in-memory network unless network is nil.
func dial(t *testing.T, srv *wsxtest.Server, path string, network *wsxtest.Network) *peer {
	t.Helper()
	p := &peer{events: make(chan event, 10_000)} // large enough for any test
	dialer := websocket.Dialer{}
	if network != nil {
		dialer.NetDialContext = network.Dial
	}
	p.listen(t, upgrade(t, dialer, srv.URL(path)))
	return p
}

// upgrade opens a WebSocket connection.
func upgrade(t *testing.T, dialer websocket.Dialer, url string) *websocket.Conn {
	t.Helper()
	ws, resp, err := dialer.DialContext(t.Context(), url, nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 101, resp.StatusCode)
	require.Empty(t, resp.Header.Get("Sec-Websocket-Extensions"))
	require.Empty(t, resp.Header.Get("Sec-Websocket-Protocol"))
	return ws
}

func (p *peer) listen(t *testing.T, ws *websocket.Conn) {
	t.Helper()
	p.ws = ws
	emit := func(kind string, bytes []byte) {
		p.events <- event{kind: kind, bytes: bytes, at: time.Now()}
	}
	ws.SetPingHandler(func(s string) error { emit(transcript.Ping, []byte(s)); return nil })
	ws.SetPongHandler(func(s string) error { emit(transcript.Pong, []byte(s)); return nil })
	ws.SetCloseHandler(func(code int, reason string) error {
		p.events <- event{kind: transcript.Close, code: code, reason: reason, at: time.Now()}
		return nil
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			kind, bytes, err := ws.ReadMessage()
			var closed *websocket.CloseError
			if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
				err = readBehindClose(ws.NetConn(), emit)
			}
			if err != nil {
				emit(transcript.EOF, nil)
				return
			}
			if kind == websocket.TextMessage {
				emit(transcript.Text, bytes)
			}
		}
	}()
	t.Cleanup(func() {
		_ = ws.NetConn().Close()
		<-ended
	})
}

// readBehindClose reads what the server sends behind its close frame: short text frames,
// which the library no longer reads, until the end of the stream.
func readBehindClose(conn net.Conn, emit func(kind string, bytes []byte)) error {
	for {
		header := make([]byte, 4) // of a text of 126 bytes or more
		if _, err := io.ReadFull(conn, header); err != nil {
			return err
		}
		text := make([]byte, int(header[2])<<8|int(header[3]))
		if _, err := io.ReadFull(conn, text); err != nil {
			return err
		}
		emit(transcript.Text, text)
	}
}

// next returns the next event. It fails the test after a minute.
func (p *peer) next(t *testing.T) event {
	t.Helper()
	select {
	case ev := <-p.events:
		return ev
	case <-time.After(time.Minute):
		require.FailNow(t, "the server sent nothing within a minute")
		return event{}
	}
}

// requireSilence requires that the server sends nothing for a duration. It is for
// tests in a bubble, which has a virtual clock.
func (p *peer) requireSilence(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case ev := <-p.events:
		require.FailNow(t, "the server sent a frame", "%s", ev)
	case <-time.After(d):
	}
}

func (p *peer) send(t *testing.T, frame string) {
	t.Helper()
	require.NoError(t, p.ws.WriteMessage(websocket.TextMessage, []byte(frame)))
}

// frame is a text frame of the server.
type frame struct {
	Meta struct {
		ID           string `json:"id"`
		Timestamp    string `json:"timestamp"`
		MsgType      string `json:"msg_type"`
		Status       int    `json:"status"`
		InReplyTo    string `json:"in_reply_to"`
		ErrorMessage string `json:"error_message"`
	} `json:"meta"`
	Data json.RawMessage `json:"data"`
}

// frame returns the next event, which must be a text frame.
func (p *peer) frame(t *testing.T) frame {
	t.Helper()
	ev := p.next(t)
	require.Equal(t, transcript.Text, ev.kind, "%s", ev)
	var f frame
	require.NoError(t, json.Unmarshal(ev.bytes, &f), "%s", ev.bytes)
	return f
}

// newMeta returns the meta of a client's frame, with extra fields.
func (p *peer) newMeta(action string, extra map[string]any) map[string]any {
	p.ids++
	meta := map[string]any{
		"action": action, "id": fmt.Sprintf("my.%d", p.ids), "timestamp": "2026-11-24T07:46:17.487929",
		"client_id": "me", "client_name": "Me",
	}
	if p.token != "" {
		meta["token"] = p.token
	}
	maps.Copy(meta, extra)
	return meta
}

func (p *peer) sendFrame(t *testing.T, meta map[string]any, data any) string {
	t.Helper()
	body := map[string]any{"meta": meta}
	if data != nil {
		body["data"] = data
	}
	raw, err := json.Marshal(body)
	require.NoError(t, err)
	p.send(t, string(raw))
	id, _ := meta["id"].(string)
	return id
}

// logIn opens a session as user1. The extra fields override those of the frame's
// meta.
func (p *peer) logIn(t *testing.T, extra map[string]any) *peer {
	t.Helper()
	fields := map[string]any{"username": "user1", "secret": "secret1"}
	maps.Copy(fields, extra)
	p.sendFrame(t, p.newMeta("create-session", fields), nil)
	f := p.frame(t)
	require.Equal(t, "zwsx.rspa", f.Meta.MsgType)
	var data struct {
		Token string `json:"token"`
	}
	require.NoError(t, json.Unmarshal(f.Data, &data))
	p.token = data.Token
	return p
}

// sendInvocation sends an invocation and returns its id. It does not wait for the
// response.
func (p *peer) sendInvocation(t *testing.T, service string, request any) string {
	t.Helper()
	return p.sendFrame(t, p.newMeta("invoke-service", nil), map[string]any{"service": service, "request": request})
}

// invoke invokes a service and returns the response.
func (p *peer) invoke(t *testing.T, service string, request any) frame {
	t.Helper()
	id := p.sendInvocation(t, service, request)
	f := p.frame(t)
	require.Equal(t, id, f.Meta.InReplyTo, "%s", f.Data)
	return f
}

// result unwraps the response of a gateway.
func result(t *testing.T, f frame) string {
	t.Helper()
	require.Equal(t, 200, f.Meta.Status, "%s %s", f.Meta.ErrorMessage, f.Data)
	var data struct {
		Response struct {
			Result json.RawMessage `json:"zato_gateway_response"`
			SubKey string          `json:"sub_key"`
		} `json:"response"`
	}
	require.NoError(t, json.Unmarshal(f.Data, &data), "%s", f.Data)
	if data.Response.SubKey != "" {
		return data.Response.SubKey
	}
	return string(data.Response.Result)
}

func (p *peer) subscribe(t *testing.T, topic string, extra map[string]any) string {
	t.Helper()
	request := map[string]any{"topic_name": topic}
	maps.Copy(request, extra)
	return result(t, p.invoke(t, "zato.pubsub.pubapi.subscribe-wsx", request))
}

func (p *peer) close(t *testing.T) {
	t.Helper()
	payload := websocket.FormatCloseMessage(1000, "bye")
	require.NoError(t, p.ws.WriteControl(websocket.CloseMessage, payload, time.Now().Add(time.Minute)))
	for {
		if ev := p.next(t); ev.kind == transcript.EOF {
			return
		}
	}
}

// dial is a dial function for a websocket.Dialer. It returns c.
func (c *corkedConn) dial(context.Context, string, string) (net.Conn, error) { return c, nil }
