package wsxtest_test

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// event is what a peer got: text, ping, pong, close or eof.
type event struct {
	kind    string
	payload []byte
}

// peer is a client that does nothing by itself: it answers no ping and no close.
type peer struct {
	t      *testing.T
	conn   *websocket.Conn
	events chan event
	ended  chan struct{}
}

func dialPeer(t *testing.T, network *wsxtest.Network, url string) (*peer, error) {
	t.Helper()
	dialer := websocket.Dialer{}
	if network != nil {
		dialer.NetDialContext = network.Dial
	}
	conn, _, err := dialer.DialContext(t.Context(), url, nil)
	if err != nil {
		return nil, err
	}
	p := &peer{t: t, conn: conn, events: make(chan event, 1000), ended: make(chan struct{})}
	conn.SetPingHandler(func(s string) error { p.got("ping", s); return nil })
	conn.SetPongHandler(func(s string) error { p.got("pong", s); return nil })
	conn.SetCloseHandler(func(code int, reason string) error {
		p.got("close", fmt.Sprint(code, " ", reason))
		return nil
	})
	go p.read()
	return p, nil
}

func (p *peer) got(kind, payload string) { p.events <- event{kind, []byte(payload)} }

func (p *peer) read() {
	defer close(p.ended)
	for {
		_, raw, err := p.conn.ReadMessage()
		if err == nil {
			p.got("text", string(raw))
			continue
		}
		var closed *websocket.CloseError
		if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
			_, err = p.conn.NetConn().Read(make([]byte, 1)) // the end of the stream
		}
		if !errors.Is(err, net.ErrClosed) {
			p.got("eof", "")
		}
		return
	}
}

func (p *peer) send(kind string, payload []byte) {
	types := map[string]int{"text": websocket.TextMessage, "ping": websocket.PingMessage, "pong": websocket.PongMessage}
	require.NoError(p.t, p.conn.WriteMessage(types[kind], payload))
}

func (p *peer) close(code int, reason string) {
	require.NoError(p.t, p.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason)))
}

func (p *peer) cut() {
	_ = p.conn.NetConn().Close()
	<-p.ended
}

// next returns what comes next, or fails.
func (p *peer) next(kind string) []byte {
	p.t.Helper()
	select {
	case e := <-p.events:
		require.Equal(p.t, kind, e.kind, "%s", e.payload)
		return e.payload
	case <-time.After(30 * time.Second):
		require.Fail(p.t, "nothing came", "expected: %s", kind)
		return nil
	}
}
