package wsxtest

import (
	"errors"
	"os"
	"time"
)

// watchClient returns a channel that is closed when the client has sent something, or has
// closed its side of the connection. Only the reader of the connection may call it, and it
// must call stop before it reads again.
func (c *session) watchClient() (active <-chan struct{}, stop func()) {
	conn, gated := c.conn().(*gatedConn)
	signal := make(chan struct{})
	if !gated {
		return signal, func() {}
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if conn.readAhead() {
			close(signal)
		}
	}()
	return signal, func() {
		_ = conn.SetReadDeadline(time.Unix(1, 0)) // a closed connection needs none
		<-stopped
		_ = conn.SetReadDeadline(time.Time{})
	}
}

// readAhead waits until there is something to read, or the connection ends. It returns false
// if the read deadline passes first.
func (c *gatedConn) readAhead() bool {
	if len(c.ahead) > 0 {
		return true
	}
	chunk := make([]byte, 4<<10)
	n, err := c.Conn.Read(chunk)
	c.ahead = chunk[:n]
	return n > 0 || !errors.Is(err, os.ErrDeadlineExceeded)
}
