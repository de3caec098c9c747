package wsxtest

import (
	"errors"
	"os"
	"time"
)

// mostAhead bounds the bytes that watchEnd keeps.
const mostAhead = 64 << 10

// watchEnd returns a channel that is closed when the client has closed its side of the
// connection, with unread frames before that or not. Only the reader of the connection
// may call it, and it must call stop before it reads again.
func (c *session) watchEnd() (ended <-chan struct{}, stop func()) {
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

// readAhead reads until the read deadline, and reports whether the connection has ended.
func (c *gatedConn) readAhead() bool {
	chunk := make([]byte, 4<<10)
	for len(c.ahead) < mostAhead {
		n, err := c.Conn.Read(chunk)
		c.ahead = append(c.ahead, chunk[:n]...)
		if err != nil {
			return !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
	return false
}
