package wsxtest

import (
	"errors"
	"time"

	"github.com/gorilla/websocket"
)

var (
	errClosed  = errors.New("the connection is closed")
	errClosing = errors.New("the connection is being closed")
)

// closeWait is how long a close frame waits for a write that is under way.
const closeWait = time.Second

// send writes a frame. It may wait for as long as the client does not read,
// which holds back pings and messages too (docs/protocol.md, "Receiving
// messages").
func (c *session) send(f serverFrame) error {
	payload, err := encodeFrame(f)
	if err != nil {
		return err
	}
	return c.write(websocket.TextMessage, payload)
}

// write writes messages, with nothing between them, or control frames.
func (c *session) write(kind int, payloads ...[]byte) error {
	select {
	case c.writing <- struct{}{}:
	case <-c.closed:
		return errClosed
	}
	defer func() { <-c.writing }()
	if c.isClosed() {
		return errClosed // what it interrupted is no answer
	}
	if c.is(stateClosing) {
		return errClosing
	}
	for _, payload := range payloads {
		var err error
		if kind == websocket.TextMessage {
			err = c.ws.WriteMessage(kind, payload)
		} else {
			err = c.ws.WriteControl(kind, payload, time.Time{})
		}
		if err != nil {
			return err
		}
		c.srv.recorder.frame(c, false, kind, payload)
	}
	return nil
}

// sendClose writes a close frame, the last thing that the connection writes. A
// connection that cannot take it within a second is cut.
func (c *session) sendClose(code int, reason string) {
	if !c.moveTo(stateOpen, stateClosing) && !c.moveTo(stateNew, stateClosing) {
		return
	}
	c.srv.broker.detach(c)
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	case <-c.closed:
		return
	case <-timer.C:
		c.closeAbruptly()
		return
	}
	payload := websocket.FormatCloseMessage(code, reason)
	if c.ws.WriteControl(websocket.CloseMessage, payload, time.Now().Add(closeWait)) != nil {
		c.closeAbruptly()
		return
	}
	c.srv.recorder.frame(c, false, websocket.CloseMessage, payload)
}

// sendBytes writes bytes that need be no WebSocket frame.
func (c *session) sendBytes(raw []byte) {
	select {
	case c.writing <- struct{}{}:
	case <-c.closed:
		return
	}
	defer func() { <-c.writing }()
	_, _ = c.ws.NetConn().Write(raw) // a fault on top of a fault is none
}
