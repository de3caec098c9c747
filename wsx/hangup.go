package wsx

import (
	"context"
	"errors"
	"time"

	"github.com/gorilla/websocket"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// Once its caller gave up, a call waits for its answer for interruptTime. It sends a ping every
// interruptInterval, because the first one may overtake the call itself.
const (
	interruptTime     = time.Second
	interruptInterval = 100 * time.Millisecond
)

// doOrHangUp is do for a call that waits at the server, until the client sends something else
// or closes its side of the connection. ctx has a deadline. When ctx is canceled, doOrHangUp
// sends a ping and returns what the server then answers. If the deadline passes, or the server
// does not answer the ping, the client hangs up, so that the server hands out nothing that
// nobody takes, and reconnects. It does not hang up while other calls wait for their answers on
// the connection.
func (c *Client) doOrHangUp(ctx context.Context, op operation, data *wire.Data) (*Response, error) {
	id := c.newID("inv")
	deadline, _ := ctx.Deadline()
	callCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	answered, ended := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		defer cancel(context.Cause(ctx))
		s := c.current.Load()
		if s == nil || !s.pending.isAlone(id) {
			return
		}
		cause := givenUpCause(ctx)
		if errors.Is(cause, errHungUp) && s.interrupt(answered) {
			return
		}
		s.hangUp(cause)
		cancel(context.Cause(ctx))
		<-answered
		s.fail(cause)
	})
	r, err := c.do(callCtx, op, id, deadline.Add(2*interruptTime), data)
	close(answered)
	if !stop() {
		<-ended
		if errors.Is(err, errHungUp) || errors.Is(err, errStalled) { // the server closed the connection without an answer
			unanswered := &CallError{Op: "waiting for the answer", Err: context.Cause(ctx)}
			err = explainCall(op.String(), unanswered)
		}
	}
	return r, err
}

// interrupt sends pings, so that the server answers a call that waits there. It reports whether
// the call was answered in time.
func (s *session) interrupt(answered <-chan struct{}) bool {
	deadline := time.Now().Add(interruptTime)
	timer := time.NewTimer(interruptTime)
	defer timer.Stop()
	tick := time.NewTicker(interruptInterval)
	defer tick.Stop()
	for {
		_ = s.ws.WriteControl(websocket.PingMessage, nil, deadline) // if it is not sent, there is no answer
		select {
		case <-answered:
			return true
		case <-timer.C:
			return false
		case <-tick.C:
		}
	}
}

// hasHungUp reports whether the client has hung up because of a call that the server did not
// answer in time.
func (s *session) hasHungUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hungUp != nil
}

// givenUpCause returns why a session ends whose caller no longer waits for an answer because
// ctx has ended.
func givenUpCause(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return errStalled
	}
	return errHungUp
}

// hangUp sends a close frame and closes the client's side of the connection, because of
// cause. A server that runs a call for the connection leaves the frame unread, but it can
// notice the end.
func (s *session) hangUp(cause error) {
	s.mu.Lock()
	s.hungUp = cause
	s.mu.Unlock()
	s.sendClose()
	if conn, ok := s.conn.Conn.(interface{ CloseWrite() error }); ok {
		_ = conn.CloseWrite() // the connection ends in any case
	}
}

// sendClose sends a close frame. Afterwards nothing else can be sent.
func (s *session) sendClose() {
	cfg := &s.client.cfg
	s.conn.setWriteTimeout(closeTimeout) // for the close frame and the TLS alert
	frame := websocket.FormatCloseMessage(websocket.CloseNormalClosure, closeReason(cfg.ClientID, cfg.ClientName))
	_ = s.ws.WriteControl(websocket.CloseMessage, frame, time.Now().Add(closeTimeout))
}
