package wsx

import (
	"bytes"

	"github.com/gorilla/websocket"
)

const (
	// roomyBuffer is the size in bytes up to which a buffer is kept in any case.
	roomyBuffer = 64 << 10
	// patience is how many frames in a row must be much smaller than a larger buffer
	// for it to be given up.
	patience = 16
)

// frameBuffer is where frames are read into. A buffer that has to grow anew for each
// frame, as that of websocket.Conn.ReadMessage, costs several times what reading a
// large frame does, so that each one begins as large as the last frame was.
type frameBuffer struct {
	buffer   bytes.Buffer
	expected int // how large the next frame is taken to be
	small    int // frames in a row that needed less than a quarter of the buffer
}

// read reads one frame, which is the caller's, in memory of no more than twice its
// size.
func (b *frameBuffer) read(conn *websocket.Conn) (kind int, frame []byte, err error) {
	kind, r, err := conn.NextReader()
	if err != nil {
		return 0, nil, err
	}
	b.buffer.Reset()
	b.buffer.Grow(b.expected)
	if _, err := b.buffer.ReadFrom(r); err != nil {
		return 0, nil, err
	}
	return kind, b.take(), nil
}

// take takes the frame out of the buffer, and the buffer with it where the frame
// fills half of it.
func (b *frameBuffer) take() []byte {
	frame := b.buffer.Bytes()
	size := b.buffer.Cap()
	if len(frame) >= size/2 {
		*b = frameBuffer{expected: len(frame) + bytes.MinRead}
		return frame[:len(frame):len(frame)]
	}
	frame = bytes.Clone(frame)
	if size <= roomyBuffer || len(frame) >= size/4 {
		b.small = 0
	} else if b.small++; b.small == patience {
		*b = frameBuffer{} // it was for a giant
	}
	return frame
}
