package wsxtest

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/gorilla/websocket"
)

var (
	errClosed  = errors.New("the connection is closed")
	errClosing = errors.New("the connection is being closed")
)

// closeTimeout is how long a close frame waits for a write in progress.
const closeTimeout = time.Second

// send writes a frame. It blocks while the client does not read. Pings and messages
// are blocked meanwhile too (docs/protocol.md, "Delivery").
func (c *session) send(f serverFrame) error {
	payload, err := encodeFrame(f)
	if err != nil {
		return err
	}
	return c.write(websocket.TextMessage, payload)
}

// write writes text messages or control frames, without other frames between them.
func (c *session) write(kind int, payloads ...[]byte) error {
	select {
	case c.writeLock <- struct{}{}:
	case <-c.closed:
		return errClosed
	}
	defer func() { <-c.writeLock }()
	if c.isClosed() {
		return errClosed // closing interrupted the service, so it has no result
	}
	if c.inState(stateClosing) {
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
		c.srv.recorder.addFrame(c, false, kind, payload)
	}
	return nil
}

// sendClose writes a close frame, after which the server writes nothing. It cuts a
// connection that cannot be written to within closeTimeout.
func (c *session) sendClose(code int, reason string) {
	if !c.transition(stateOpen, stateClosing) && !c.transition(stateNew, stateClosing) {
		return
	}
	c.srv.broker.detach(c)
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case c.writeLock <- struct{}{}:
		defer func() { <-c.writeLock }()
	case <-c.closed:
		return
	case <-timer.C:
		c.closeAbruptly()
		return
	}
	payload := websocket.FormatCloseMessage(code, reason)
	if c.ws.WriteControl(websocket.CloseMessage, payload, time.Now().Add(closeTimeout)) != nil {
		c.closeAbruptly()
		return
	}
	c.srv.recorder.addFrame(c, false, websocket.CloseMessage, payload)
}

// closeAndSend sends a close frame and a text frame behind it, as Zato does when a
// channel without a pub/sub endpoint subscribes (transcript no-endpoint). It returns
// false if the connection must end.
func (c *session) closeAndSend(f serverFrame) bool {
	payload, err := encodeFrame(f)
	if err != nil {
		return false
	}
	c.sendClose(4005, "")
	c.sleep(40 * time.Millisecond)
	frame := binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(len(payload))) //nolint:gosec // it is short
	c.sendBytes(append(frame, payload...))
	return true
}

// sendBytes writes bytes that need not be a WebSocket frame.
func (c *session) sendBytes(raw []byte) {
	select {
	case c.writeLock <- struct{}{}:
	case <-c.closed:
		return
	}
	defer func() { <-c.writeLock }()
	_, _ = c.ws.NetConn().Write(raw) // the connection is about to end
}
