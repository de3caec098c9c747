package wsx

import (
	"io"

	"github.com/gorilla/websocket"
)

// FrameBuffer is what a session reads its frames with.
type FrameBuffer struct{ frameBuffer }

// Read reads one frame and gives it back.
func (b *FrameBuffer) Read(conn *websocket.Conn) ([]byte, error) {
	frame, err := b.next(conn)
	defer putLarge(frame)
	return frame, err
}

// ReadOwn reads one frame, which is the caller's.
func (b *FrameBuffer) ReadOwn(conn *websocket.Conn) ([]byte, error) {
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

// Size is how many bytes the buffer has between two frames.
func (b *FrameBuffer) Size() int { return cap(b.small) }

// Ahead reads from a source as a connection does.
type Ahead struct {
	readAhead

	Source io.Reader
}

func (a *Ahead) Read(p []byte) (int, error) {
	if n := a.read(p); n > 0 {
		return n, nil
	}
	n, err := a.Source.Read(a.buffer(p))
	return a.commit(p, n), err
}

// TurnOff has nothing read ahead.
func (a *Ahead) TurnOff() { a.disabled = true }

// Waits tells whether something was read ahead, for which there is memory then.
func (a *Ahead) Waits() bool { return a.memory != nil }
