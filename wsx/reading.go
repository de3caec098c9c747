package wsx

import (
	"bytes"
	"io"
	"sync"
)

const (
	// roomyBuffer is the size in bytes up to which a connection keeps its buffer.
	roomyBuffer = 64 << 10
	// largestKept is the size in bytes up to which larger memory is kept for others.
	largestKept = 16 << 20
)

// frameBuffer reads frames. Memory that is used again is read into several times as fast
// as new memory, which has to be cleared and paged in. A connection has some for small
// frames; what a large one needs is taken from what all share, for that frame alone.
type frameBuffer struct {
	small    []byte
	expected int  // how large a large frame is taken to be
	large    bool // the last frame was
}

// read reads one frame. A small one stays as it is until the next one is read, a large
// one until it is given back.
func (b *frameBuffer) read(r io.Reader) (frame []byte, err error) {
	frame = b.small[:0]
	if b.large {
		frame = borrow(b.expected)
	}
	for err == nil {
		if len(frame) == cap(frame) {
			frame = b.roomier(frame)
		}
		var n int
		n, err = r.Read(frame[len(frame):cap(frame)])
		frame = frame[:len(frame)+n]
	}
	if err != io.EOF {
		return nil, err
	}
	if b.large = len(frame) > roomyBuffer; b.large {
		b.expected = min(len(frame)+bytes.MinRead, largestKept)
	}
	return frame, nil
}

// roomier returns more memory for a frame that has come so far.
func (b *frameBuffer) roomier(frame []byte) []byte {
	size := max(bytes.MinRead, 2*cap(frame))
	if size <= roomyBuffer {
		b.small = append(make([]byte, 0, size), frame...)
		return b.small
	}
	defer giveBack(frame)
	return append(borrow(max(size, b.expected)), frame...)
}

// own makes a frame that was just read the caller's, in memory of no more than twice its
// size: that which it was read into where the frame fills half of it.
func (b *frameBuffer) own(frame []byte) []byte {
	if len(frame) < cap(frame)/2 || cap(frame) == 0 {
		defer giveBack(frame)
		return bytes.Clone(frame)
	}
	if !isLarge(frame) {
		b.small = nil
	}
	return frame[:len(frame):len(frame)]
}

// isLarge tells whether a frame is in memory that is to be given back.
func isLarge(frame []byte) bool { return cap(frame) > roomyBuffer }

// larger is memory for large frames. What nobody needs, the garbage collector takes.
var larger sync.Pool //nolint:gochecknoglobals // it is there to be shared

func borrow(size int) []byte {
	if memory, ok := larger.Get().(*[]byte); ok && cap(*memory) >= size {
		return (*memory)[:0]
	}
	return make([]byte, 0, size)
}

// giveBack says that a frame is not needed any more, if it is large.
func giveBack(frame []byte) {
	if isLarge(frame) && cap(frame) <= largestKept {
		memory := frame // a copy, so that a small one costs nothing
		larger.Put(&memory)
	}
}
