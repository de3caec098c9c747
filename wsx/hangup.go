package wsx

import (
	"context"
	"errors"
	"time"

	"github.com/gorilla/websocket"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// hangUpTime is how long a call waits for its answer after the client has hung up because
// the caller gave up.
const hangUpTime = 300 * time.Millisecond

// doOrHangUp is do for a call that the server ends when the client closes its side of the
// connection. ctx has a deadline. When ctx ends, the client hangs up, so that the server hands
// out nothing that nobody takes. If ctx was canceled, doOrHangUp returns what the server
// answers then. Afterwards the client reconnects. It does not hang up while other calls wait
// for their answers on the connection.
func (c *Client) doOrHangUp(ctx context.Context, op operation, data *wire.Data) (*Response, error) {
	id := c.newID("inv")
	deadline, _ := ctx.Deadline()
	callCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	answered, hungUp := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(hungUp)
		defer cancel(context.Cause(ctx))
		s := c.current.Load()
		if s == nil || !s.pending.isAlone(id) {
			return
		}
		cause, wait := givenUpCause(ctx), hangUpTime
		if errors.Is(cause, errStalled) {
			wait = 0
		}
		s.hangUp(cause)
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-answered:
		case <-timer.C:
			cancel(context.Cause(ctx))
			<-answered
		}
		s.fail(cause)
	})
	r, err := c.do(callCtx, op, id, deadline.Add(2*hangUpTime), data)
	close(answered)
	if !stop() {
		<-hungUp
		if errors.Is(err, errHungUp) || errors.Is(err, errStalled) { // the server closed the connection without an answer
			unanswered := &CallError{Op: "waiting for the answer", Err: context.Cause(ctx)}
			err = explainCall(op.String(), unanswered)
		}
	}
	return r, err
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
