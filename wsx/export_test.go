package wsx

import "github.com/gorilla/websocket"

// FrameBuffer is what a session reads its frames with.
type FrameBuffer struct{ frameBuffer }

// Read reads one frame, which stays as it is until the next one is read.
func (b *FrameBuffer) Read(conn *websocket.Conn) ([]byte, error) {
	_, frame, err := b.read(conn)
	return frame, err
}

// ReadOwn reads one frame, which is the caller's.
func (b *FrameBuffer) ReadOwn(conn *websocket.Conn) ([]byte, error) {
	frame, err := b.Read(conn)
	return b.own(frame), err
}

// Size is how many bytes the buffer has, or will have for the next frame.
func (b *FrameBuffer) Size() int { return max(b.buffer.Cap(), b.expected) }
