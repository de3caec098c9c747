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
	// stateNew waits for a login.
	stateNew state = iota
	// stateOpen has a session.
	stateOpen
	// stateClosing has sent a close frame. Nothing is written any more, and what
	// comes is read and ignored, until the client closes too.
	stateClosing
	// stateDead had its login time out: silent, and yet not closed (transcript
	// no-session).
	stateDead
)

// session is one connection. Its reader runs the services too, so that requests
// run one at a time and in order (transcript one-at-a-time).
type session struct {
	srv         *Server
	channel     *Channel
	ws          *websocket.Conn
	peer        string
	pubClientID string

	// writeLock is a mutex for writes to ws that can be waited for together with gone.
	writeLock chan struct{}
	// pongs has room for one answer, as the reader must not wait for the pinger.
	pongs chan string
	// deliverNow asks for a round of delivery at once; one request is enough.
	deliverNow chan struct{}
	// closed is closed when the connection is.
	closed          chan struct{}
	closeOnce sync.Once
	// goroutines counts the goroutines but for the reader, which waits for them.
	goroutines sync.WaitGroup

	// mu guards what is below; nothing waits under it.
	mu         sync.Mutex
	state      state
	ended      bool // no goroutine may be started any more
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
		writeLock:     make(chan struct{}, 1),
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

// run reads until the connection ends.
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

// handle deals with one frame. It returns false when the connection is to end
// without a close frame.
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

// rejectInvalidUTF8 answers a frame that is not UTF-8 (transcripts bad-frames and
// bad-utf8-before-session).
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

// reject says that the client may not go on, and ends the connection.
func (c *session) reject() bool {
	c.sendForbidden()
	return false
}

func (c *session) sendForbidden() {
	meta := newMeta(newID(), typeForbidden)
	meta.Status = 403
	const text = `"You are not authorized to access this resource"`
	_ = c.send(serverFrame{meta, json.RawMessage(text)}) // the connection ends in any case
}

// onClose agrees to the client's close frame, or takes it as the agreement to
// one of our own. ReadMessage fails next.
func (c *session) onClose(code int, reason string) error {
	c.srv.recorder.addCloseFrame(CloseFrame{Code: code, Reason: reason, ClientID: c.currentClientID()})
	c.srv.recorder.addFrame(c, true, websocket.CloseMessage, websocket.FormatCloseMessage(code, reason))
	c.srv.broker.detach(c)
	if !c.inState(stateDead) {
		c.sendClose(code, reason)
	}
	return nil
}

// end closes the connection and waits for what belongs to it.
func (c *session) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.srv.broker.detach(c)
	c.closeAbruptly()
	c.goroutines.Wait()
}

// closeAbruptly closes the connection with no close frame and no TLS farewell.
func (c *session) closeAbruptly() {
	c.closeOnce.Do(func() {
		close(c.closed)
		conn := c.ws.NetConn()
		if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
			conn = secure.NetConn()
		}
		_ = conn.Close() // there is nobody to tell
	})
}

// spawn runs f beside the reader, unless the connection has ended.
func (c *session) spawn(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.goroutines.Go(f)
	}
}

// runAfter runs f after a delay, if the connection is still there.
func (c *session) runAfter(d time.Duration, f func()) {
	c.spawn(func() {
		if c.sleep(d) {
			f()
		}
	})
}

// sleep waits. It returns false when the connection ended first.
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

// isClosed tells whether the connection was cut.
func (c *session) isClosed() bool {
	select {
	case <-c.closed:
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

// transition changes the state. It returns false if the state was not from.
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

// invocation tells a service about the caller.
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
