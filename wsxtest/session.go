package wsxtest

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// state is what a connection is doing.
type state int

const (
	// stateNew is a connection that has not logged in yet.
	stateNew state = iota
	// stateOpen is a connection that is logged in.
	stateOpen
	// stateClosing is a connection that has sent a close frame. The server writes
	// nothing more and ignores all frames until the client closes too.
	stateClosing
	// stateDead is a connection whose login timed out. The server ignores it but
	// does not close it (transcript no-session).
	stateDead
)

// session is one connection. The goroutine that reads it also runs the services,
// so requests run one at a time and in order (transcript one-at-a-time).
type session struct {
	srv         *Server
	channel     *Channel
	ws          *websocket.Conn
	peer        string
	pubClientID string

	// writeLock is a mutex for writes to ws. It is a channel so that a select can
	// wait for it and for closed.
	writeLock chan struct{}
	// pongs has a buffer of one, because the reader must not wait for pingLoop.
	pongs chan string
	// delivery is held while messages are pushed, by deliveryLoop or by the reader.
	delivery sync.Mutex
	// deliverNow requests an immediate round of delivery. Requests are merged.
	deliverNow chan struct{}
	// closed is closed when the connection is closed.
	closed    chan struct{}
	closeOnce sync.Once
	// goroutines counts all goroutines of the connection except the reader, which
	// waits for the others.
	goroutines sync.WaitGroup

	// fetched has the subscriptions of which guaranteed messages were delivered after
	// their publication. The broker's mu guards it.
	fetched []*subscription

	// mu guards the fields below. Nothing blocks while holding it.
	mu         sync.Mutex
	state      state
	ended      bool // no more goroutines may be started
	delivering bool
	token      string
	expires    time.Time
	clientID   string
	clientName string
	attrs      map[string]any
	pending    map[string]chan json.RawMessage
}

func newSession(s *Server, ch *Channel, ws *websocket.Conn) *session {
	c := &session{
		srv:         s,
		channel:     ch,
		ws:          ws,
		peer:        ws.RemoteAddr().String(),
		pubClientID: "ws." + newID(),
		writeLock:   make(chan struct{}, 1),
		pongs:       make(chan string, 1),
		deliverNow:  make(chan struct{}, 1),
		closed:      make(chan struct{}),
		pending:     map[string]chan json.RawMessage{},
	}
	ws.SetPingHandler(c.onPing)
	ws.SetPongHandler(c.onPong)
	ws.SetCloseHandler(c.onClose)
	return c
}

// run reads and handles frames until the connection ends.
func (c *session) run(ctx context.Context) {
	defer c.end()
	c.spawn(c.enforceLoginTimeout)
	for {
		kind, payload, err := c.ws.ReadMessage()
		if err != nil {
			return
		}
		c.srv.recorder.addFrame(c, true, kind, payload)
		if !c.handle(ctx, payload) {
			return
		}
	}
}

// handle handles one frame. It returns false if the connection must end without a
// close frame.
func (c *session) handle(ctx context.Context, payload []byte) bool {
	if c.inState(stateClosing) || c.inState(stateDead) {
		return true
	}
	if !utf8.Valid(payload) {
		return c.rejectInvalidUTF8()
	}
	f, err := parseFrame(payload)
	if err != nil {
		return true
	}
	switch {
	case c.inState(stateNew):
		return c.handleLogin(f)
	case f.action == actionCreateSession:
		c.revokeToken()
		return true
	case !c.validToken(f.token):
		return c.reject()
	case f.action == actionClientResponse:
		c.handleResponse(f)
		return true
	}
	return c.invoke(ctx, f)
}

// rejectInvalidUTF8 handles a frame that is not valid UTF-8 (transcripts bad-frames
// and bad-utf8-before-session).
func (c *session) rejectInvalidUTF8() bool {
	const reason = "Invalid UTF-8 bytes"
	if c.inState(stateNew) {
		c.sendClose(4001, reason)
		return true
	}
	meta := newMeta("<no-cid>", typeError)
	meta.Status, meta.InReplyTo, meta.ErrorMessage = 422, "<no-msg-id>", reason
	return c.send(serverFrame{meta, json.RawMessage(`{"cid":"<no-cid>"}`)}) == nil
}

// reject sends the client a 403 and ends the connection.
func (c *session) reject() bool {
	c.sendForbidden()
	return false
}

func (c *session) sendForbidden() {
	meta := newMeta(newID(), typeForbidden)
	meta.Status = 403
	const text = `"You are not authorized to access this resource"`
	_ = c.send(serverFrame{meta, json.RawMessage(text)}) // the connection ends anyway
}

// onClose handles a close frame of the client. It echoes the frame, unless the
// server has already sent one. ReadMessage returns an error afterwards.
func (c *session) onClose(code int, reason string) error {
	c.srv.recorder.addCloseFrame(CloseFrame{Code: code, Reason: reason, ClientID: c.currentClientID()})
	c.srv.recorder.addFrame(c, true, websocket.CloseMessage, websocket.FormatCloseMessage(code, reason))
	c.srv.broker.detach(c)
	if !c.inState(stateDead) {
		c.sendClose(code, reason)
	}
	return nil
}

// end closes the connection and waits for its goroutines.
func (c *session) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.srv.broker.detach(c)
	c.closeAbruptly()
	c.goroutines.Wait()
}

// closeAbruptly closes the connection without a close frame or a TLS close_notify
// alert.
func (c *session) closeAbruptly() {
	c.closeOnce.Do(func() {
		close(c.closed)
		_ = c.conn().Close() // the connection is gone either way
	})
}

// conn returns the connection below TLS.
func (c *session) conn() net.Conn {
	conn := c.ws.NetConn()
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	return conn
}

// spawn runs f in a new goroutine, unless the connection has ended.
func (c *session) spawn(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.goroutines.Go(f)
	}
}

// runAfter runs f after a delay, unless the connection ends first.
func (c *session) runAfter(d time.Duration, f func()) {
	c.spawn(func() {
		if c.sleep(d) {
			f()
		}
	})
}

// sleep waits for d. It returns false if the connection was closed first.
func (c *session) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.closed:
		return false
	}
}

// isClosed reports whether closeAbruptly was called.
func (c *session) isClosed() bool { return isClosed(c.closed) }

func isClosed(signal <-chan struct{}) bool {
	select {
	case <-signal:
		return true
	default:
		return false
	}
}

func (c *session) inState(wanted state) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == wanted
}

// transition moves the connection from one state to another. It returns false if
// the connection is not in the first one.
func (c *session) transition(from, to state) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != from {
		return false
	}
	c.state = to
	return true
}

func (c *session) currentClientID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clientID
}

// invocation returns an Invocation with the fields that describe the caller.
func (c *session) invocation(cid string) Invocation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Invocation{
		ClientID:       c.clientID,
		ClientName:     c.clientName,
		Attributes:     maps.Clone(c.attrs),
		PubClientID:    c.pubClientID,
		Peer:           c.peer,
		CID:            cid,
		TokenExpiresAt: c.expires,
		Session:        &Session{c, cid},
	}
}
