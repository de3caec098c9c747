package clients_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

// proxy passes the frames of one connection on and records the text frames.
type proxy struct {
	address string
	ended   chan struct{} // closed when the connection has ended

	mu     sync.Mutex
	began  time.Time
	events []transcript.Event
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	p := &proxy{ended: make(chan struct{}), began: time.Now()}
	var once sync.Once
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first := false
		once.Do(func() { first = true })
		if !assert.True(t, first, "the client connected twice") {
			return
		}
		defer close(p.ended)
		client, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if !assert.NoError(t, err) {
			return
		}
		defer func() { _ = client.Close() }()
		upstream, resp, err := websocket.DefaultDialer.DialContext(t.Context(), server, nil)
		if !assert.NoError(t, err) {
			return
		}
		defer func() { _ = upstream.Close() }()
		assert.NoError(t, resp.Body.Close())
		var both sync.WaitGroup
		both.Go(func() { p.pass(transcript.Client, client, upstream) })
		both.Go(func() { p.pass(transcript.Server, upstream, client) })
		both.Wait()
	}))
	t.Cleanup(listener.Close)
	p.address = "ws" + strings.TrimPrefix(listener.URL, "http") + "/"
	return p
}

// pass passes on what one side sends until it ends.
func (p *proxy) pass(dir string, from, to *websocket.Conn) {
	from.SetCloseHandler(func(code int, reason string) error {
		frame := websocket.FormatCloseMessage(code, reason)
		return to.WriteControl(websocket.CloseMessage, frame, time.Now().Add(time.Second))
	})
	for {
		kind, payload, err := from.ReadMessage()
		if err != nil {
			return
		}
		if err := p.add(dir, payload); err != nil {
			return
		}
		if to.WriteMessage(kind, payload) != nil {
			return
		}
	}
}

func (p *proxy) add(dir string, payload []byte) error {
	text, err := json.Marshal(string(payload))
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, transcript.Event{
		Seconds: time.Since(p.began).Seconds(), Dir: dir, Frame: transcript.Text, Payload: text,
	})
	return nil
}

// frames returns what was recorded, when the connection has ended.
func (p *proxy) frames(t *testing.T) []transcript.Event {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		require.FailNow(t, "the connection does not end")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.events
}
