package wsx

import (
	"io"

	"github.com/gorilla/websocket"
)

// FrameBuffer is a frameBuffer that reads from a connection.
type FrameBuffer struct{ frameBuffer }

// Read reads one frame and returns its buffer to the pool.
func (b *FrameBuffer) Read(conn *websocket.Conn) ([]byte, error) {
	frame, err := b.next(conn)
	defer putLargeBuffer(frame)
	return frame, err
}

// ReadDetached reads one frame into memory that no other frame uses.
func (b *FrameBuffer) ReadDetached(conn *websocket.Conn) ([]byte, error) {
	frame, err := b.next(conn)
	return b.detach(frame), err
}

func (b *FrameBuffer) next(conn *websocket.Conn) ([]byte, error) {
	_, r, err := conn.NextReader()
	if err != nil {
		return nil, err
	}
	return b.read(r)
}

// Size returns how many bytes the buffer holds between two frames.
func (b *FrameBuffer) Size() int { return cap(b.small) }

// ReadAhead is an io.Reader that reads from Source with read-ahead, as a connection does.
type ReadAhead struct {
	readAhead

	Source io.Reader
}

// Read implements io.Reader.
func (a *ReadAhead) Read(p []byte) (int, error) {
	if n := a.read(p); n > 0 {
		return n, nil
	}
	n, err := a.Source.Read(a.buffer(p))
	return a.commit(p, n), err
}

// Disable turns read-ahead off.
func (a *ReadAhead) Disable() { a.disabled = true }

// HasBuffer reports whether a buffer is in use.
func (a *ReadAhead) HasBuffer() bool { return a.memory != nil }
