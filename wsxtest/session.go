package wsxtest

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// Session is one connection of a client.
type Session struct {
	server  *Server
	channel *Channel
	conn    *websocket.Conn
	peer    string

	// writing is a mutex: a write that blocks holds back pings and deliveries, as
	// it does on a real server.
	writing chan struct{}
	// life ends when the connection does; done is its end.
	life context.Context //nolint:containedctx // the connection's own
	end  context.CancelFunc
	done <-chan struct{}
	// helpers are the goroutines beside the reader.
	helpers sync.WaitGroup

	// mu guards what follows.
	mu          sync.Mutex
	login       *login
	dead        bool // refused: nothing is answered any more
	closing     bool // the server has sent a close frame
	pinged      string
	ponged      chan struct{}
	replies     map[string]chan json.RawMessage
	afterAnswer []func()
}

// login is what a session knows of its client.
type login struct {
	clientID, clientName, pubClientID string
	attributes                        map[string]any
	token                             string
	expires                           time.Time
}

func newSession(s *Server, ch *Channel, conn *websocket.Conn) *Session {
	life, end := context.WithCancel(context.Background()) //nolint:forbidigo // the connection's life begins here
	session := &Session{
		server: s, channel: ch, conn: conn, peer: conn.RemoteAddr().String(),
		writing: make(chan struct{}, 1),
		life:    life, end: end, done: life.Done(),
		replies: map[string]chan json.RawMessage{},
	}
	conn.SetCloseHandler(session.closed)
	conn.SetPingHandler(session.ping)
	conn.SetPongHandler(session.pong)
	return session
}

// run reads and handles frames, one at a time, until the connection ends.
func (s *Session) run() {
	s.helpers.Go(s.expectLogin)
	defer func() {
		s.cut()
		s.helpers.Wait()
	}()
	for {
		_, raw, err := s.conn.ReadMessage()
		if err != nil {
			return
		}
		s.server.faults.await(s.done)
		if s.handle(raw) != nil {
			return
		}
	}
}

// handle handles one frame. An error ends the connection without a close frame.
func (s *Session) handle(raw []byte) error {
	login, dead := s.state()
	var f clientFrame
	switch {
	case dead:
		return nil
	case !utf8.Valid(raw):
		return s.badUTF8(login)
	case !isKind(raw, '{') || json.Unmarshal(raw, &f) != nil:
		return nil // no answer (bad-frames)
	case login == nil:
		return s.logIn(&f)
	case f.Meta.Token != login.token || time.Now().After(login.expires):
		return s.refuse()
	case f.Meta.ID == "" || f.Meta.Timestamp == "":
		return nil
	case f.Meta.Action == "create-session":
		s.killToken() // no answer, and the token is dead (second-create-session)
		return nil
	case f.Meta.Action == "client-response" || f.Meta.Action == "":
		s.reply(f.Meta.InReplyTo, f.Data)
		return nil
	}
	return s.invoke(&f)
}

// badUTF8 is what the server does with a frame that is not UTF-8.
func (s *Session) badUTF8(login *login) error {
	if login == nil {
		s.sendClose(4001, textBadUTF8)
		s.mu.Lock()
		s.dead = true
		s.mu.Unlock()
		return nil
	}
	f := errorFrame("<no-cid>", "<no-msg-id>", StatusError{Status: 422, Message: textBadUTF8})
	return s.send(f)
}

// refuse says 403 and ends the connection (bad-token).
func (s *Session) refuse() error {
	_ = s.send(refusalFrame())
	return errGone
}

func (s *Session) state() (*login, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.login, s.dead
}

func (s *Session) killToken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.login.token = newID("dead.")
}

func (s *Session) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// send writes one text frame.
func (s *Session) send(f serverFrame) error {
	raw, err := pretty(f)
	if err != nil {
		return err
	}
	return s.write(func() error { return s.conn.WriteMessage(websocket.TextMessage, raw) })
}

// write runs do while nobody else writes.
func (s *Session) write(do func() error) error {
	select {
	case s.writing <- struct{}{}:
	case <-s.done:
		return net.ErrClosed
	}
	defer func() { <-s.writing }()
	s.server.faults.await(s.done)
	return do()
}

// sendClose sends a close frame and leaves the connection to the client.
func (s *Session) sendClose(code int, reason string) {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	_ = s.write(func() error {
		message := websocket.FormatCloseMessage(code, reason)
		return s.conn.WriteMessage(websocket.CloseMessage, message)
	})
}

// closed echoes the client's close frame, reason and all (session).
func (s *Session) closed(code int, reason string) error {
	s.server.account.closed(CloseInfo{Code: code, Reason: reason})
	if !s.isClosing() {
		s.sendClose(code, reason)
	}
	return nil
}

// cut ends the connection without a close frame.
func (s *Session) cut() {
	s.end()
	_ = s.conn.NetConn().Close()
}

// Disconnect closes the connection from a service, 0.3 seconds from now
// (server-closes).
func (s *Session) Disconnect(code int, reason string) {
	s.helpers.Go(func() {
		if s.sleep(300 * time.Millisecond) {
			s.sendClose(code, reason)
		}
	})
}

// sleep waits, unless the connection ends.
func (s *Session) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.done:
		return false
	}
}

// Request sends a request to the client and waits for its answer, which is null
// when none comes in time (server-requests).
func (s *Session) Request(ctx context.Context, id string, data any, timeout time.Duration) (json.RawMessage, error) {
	answer := make(chan json.RawMessage, 1)
	s.mu.Lock()
	s.replies[id] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.replies, id)
	}()
	raw, err := encode(data)
	if err != nil {
		return nil, err
	}
	f := serverFrame{Meta: newMeta(id, typeRequest)}
	if !isFalse(raw) {
		f.Data = raw
	}
	if err := s.send(f); err != nil {
		return nil, err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case a := <-answer:
		return a, nil
	case <-timer.C:
		return json.RawMessage("null"), nil
	case <-s.done:
		return nil, errors.New("the client has gone")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// reply hands a client-response to whoever waits for it: the value of
// "response", or the data itself where there is none.
func (s *Session) reply(id string, data json.RawMessage) {
	var wrapped map[string]json.RawMessage
	if json.Unmarshal(data, &wrapped) == nil {
		if response, ok := wrapped["response"]; ok && len(wrapped) == 1 {
			data = response
		}
	}
	if len(data) == 0 {
		data = json.RawMessage("null")
	}
	s.mu.Lock()
	answer := s.replies[id]
	delete(s.replies, id)
	s.mu.Unlock()
	s.server.account.responded()
	if answer != nil {
		answer <- data
	}
}
