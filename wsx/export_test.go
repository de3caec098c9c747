package wsx

import "github.com/gorilla/websocket"

// FrameBuffer is what a session reads its frames with.
type FrameBuffer struct{ frameBuffer }

// Read reads one frame and gives it back.
func (b *FrameBuffer) Read(conn *websocket.Conn) ([]byte, error) {
	_, frame, err := b.read(conn)
	defer giveBack(frame)
	return frame, err
}

// ReadOwn reads one frame, which is the caller's.
func (b *FrameBuffer) ReadOwn(conn *websocket.Conn) ([]byte, error) {
	_, frame, err := b.read(conn)
	return b.own(frame), err
}

// Size is how many bytes the buffer has between two frames.
func (b *FrameBuffer) Size() int { return cap(b.small) }
