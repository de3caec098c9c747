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

// frameBuffer is where frames are read into. Memory that is used again is read into
// several times as fast as new memory, which has to be cleared and paged in.
type frameBuffer struct {
	buffer   bytes.Buffer
	expected int // how large the next frame is taken to be, where the buffer was taken
	small    int // frames in a row that needed less than a quarter of the buffer
}

// read reads one frame, which stays as it is until the next one is read.
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
	frame = b.buffer.Bytes()
	if size := b.buffer.Cap(); size <= roomyBuffer || len(frame) >= size/4 {
		b.small = 0
	} else if b.small++; b.small == patience {
		*b = frameBuffer{} // it was for a giant
	}
	return kind, frame, nil
}

// own makes a frame that was just read the caller's, in memory of no more than twice its
// size: that of the buffer where the frame fills half of it. The next one then begins as
// large as this one was, for a buffer that has to grow anew for each frame costs
// several times what reading a large one does.
func (b *frameBuffer) own(frame []byte) []byte {
	if len(frame) < b.buffer.Cap()/2 || b.buffer.Cap() == 0 {
		return bytes.Clone(frame)
	}
	*b = frameBuffer{expected: len(frame) + bytes.MinRead}
	return frame[:len(frame):len(frame)]
}
