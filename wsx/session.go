package wsx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// closeTimeout bounds the end of a session. After the close frame, it bounds how long the
// server may be silent. When the client is closed, it bounds the whole of drain.
const closeTimeout = time.Second

// session is one connection, from the upgrade to the end of its stream. It is used
// once: a client that reconnects makes a new session, so a late frame of an old one
// cannot disturb it.
type session struct {
	client *Client
	ws     *websocket.Conn
	conn   *timeoutConn // below ws and below TLS
	token  string       // set by readLoop when the login is answered
	buffer frameBuffer  // used by readLoop alone

	// writeLock is a mutex for writes. It is a channel so that a caller can give up.
	writeLock chan struct{}
	pending   *pendingCalls

	// description is what the gateway can do. It is nil until it is known.
	description atomic.Pointer[Description]

	// requestSlots is a semaphore. It bounds the requests from the server that are being
	// handled.
	requestSlots chan struct{}
	// pongSlots is a semaphore. It bounds the pongs that wait to be sent.
	pongSlots chan struct{}
	// running counts the goroutines of this session except readLoop: they handle requests,
	// decode large frames, and send pings and pongs.
	running sync.WaitGroup

	// closing is closed when calls can no longer succeed. cause is set before that, and
	// says why.
	closing chan struct{}
	cause   error
	// readDone is closed when readLoop has read the stream to its end.
	readDone chan struct{}

	// mu guards the fields below, and guards cause until closing is closed. Nothing blocks
	// under it.
	mu     sync.Mutex
	pongs  map[string]chan struct{} // by payload of the ping; closed when its pong arrives
	hungUp error                    // why the client has hung up, nil if it has not
}

func newSession(c *Client, ws *websocket.Conn, conn *timeoutConn) *session {
	s := &session{
		client:       c,
		ws:           ws,
		conn:         conn,
		writeLock:    make(chan struct{}, 1),
		pending:      newPendingCalls(c.cfg.CallsPerConnection, c.cfg.OnLateAnswer),
		closing:      make(chan struct{}),
		readDone:     make(chan struct{}),
		pongs:        map[string]chan struct{}{},
		requestSlots: make(chan struct{}, maxServerRequests),
		pongSlots:    make(chan struct{}, maxPongs),
	}
	if c.cfg.Gateway == GatewayStock {
		s.description.Store(&Description{})
	}
	ws.SetPingHandler(s.answerPing)
	ws.SetPongHandler(func(payload string) error {
		s.handlePong(payload)
		return nil
	})
	return s
}

// logIn creates the session at the server. The client never renews it, because its token
// is valid as long as the client answers pings (docs/protocol.md, "Session").
func (s *session) logIn(ctx context.Context, secret Secret) error {
	cfg := &s.client.cfg
	meta := s.client.meta(wire.ActionCreateSession, s.client.newID("auth"))
	meta.Username, meta.Secret, meta.Attrs = cfg.Username, secret.Reveal(), attrs(cfg.Attributes)
	_, err := s.controlCall(ctx, meta, &wire.Data{})
	var refused *ServerError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return fmt.Errorf("%w: %w", ErrLoginRefused, refused)
	}
	return fmt.Errorf("logging in: %w", err)
}

// keepAlive pings the server, and ends the session if the server no longer answers
// calls. It does not look for a silent server: the read timeout of the connection does.
func (s *session) keepAlive() {
	// A ping has to wait while a frame is being written, and connectLoop must not wait.
	s.running.Go(s.ping)
	// A call that timed out long ago will never be answered: the server closes the
	// connection of a service that takes more than about two ping intervals
	// (docs/protocol.md, "Invoking services").
	if s.pending.hasStalled(readTimeout(&s.client.cfg)) {
		s.fail(errStalled)
	}
}

// fail ends the session for its callers. Calls that wait for an answer fail at once.
// readLoop goes on reading, until drain stops it. Only the first cause counts.
func (s *session) fail(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return
	}
	s.cause = cmp.Or(s.hungUp, cause)
	close(s.closing)
	s.pending.close(s.pendingErr(), s.onlyPendingErr(), notSent(s.cause))
}

// alive reports whether calls can still succeed.
func (s *session) alive() bool {
	select {
	case <-s.closing:
		return false
	default:
		return true
	}
}

// closedErr returns the error of an operation that was interrupted by the end of the
// session.
func (s *session) closedErr() error {
	if errors.Is(s.cause, ErrClosed) {
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrConnectionLost, s.cause)
}

// pendingErr returns the error of the calls that wait for an answer when the session
// ends. The server may have carried them out, unless the cause of the end says that it
// has not read them.
func (s *session) pendingErr() error {
	var call *CallError
	if errors.As(s.cause, &call) && call.SendStatus == NotSent {
		return s.cause
	}
	return &CallError{Op: "waiting for the answer", Err: fmt.Errorf("%w: %w", ErrConnectionLost, s.cause)}
}

// onlyPendingErr returns the error of a call that waits for an answer, and is the only one, when
// the session ends.
func (s *session) onlyPendingErr() error {
	var closed *CloseError
	if errors.As(s.cause, &closed) && closed.Code == websocket.CloseMessageTooBig {
		return &requestTooLargeError{closed}
	}
	return s.pendingErr()
}

// drain ends the session because of err, sends a close frame, and waits until readLoop
// has read the stream to its end. The server counts the frames in flight as delivered and
// does not send them again (docs/protocol.md, "Delivery").
//
// There is no limit to how long drain takes while the client is open: if nobody calls
// Receive, the inbox fills up and readLoop waits. Only the silence of the server is
// limited, to closeTimeout. When the client is closed, ctx ends. Then the inbox takes any
// number of frames, and drain closes the connection once closeTimeout has passed since its
// beginning, or at once if the server has been silent already and has nothing to push.
func (s *session) drain(ctx context.Context, err error) {
	s.fail(err)
	defer s.running.Wait()
	defer s.ws.Close() //nolint:errcheck // nothing is left to lose
	deadline := time.Now().Add(closeTimeout)
	s.sendClose()
	s.conn.lowerReadTimeout(closeTimeout)
	select {
	case <-s.readDone:
		return
	case <-ctx.Done():
	}
	s.client.inbox.removeLimit()
	if s.hasHungUp() && len(s.client.Subscriptions()) == 0 {
		deadline = time.Now()
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-s.readDone:
	case <-timer.C:
		_ = s.ws.Close()
		<-s.readDone
	}
}
