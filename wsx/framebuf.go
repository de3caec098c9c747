package wsx

import (
	"bytes"
	"io"
	"sync"
)

const (
	// smallBufferLimit is the size in bytes up to which a connection keeps its buffer.
	smallBufferLimit = 64 << 10
	// maxPooled is the size in bytes up to which larger memory is kept for others.
	maxPooled = 16 << 20
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
		frame = getLarge(b.expected)
	}
	for err == nil {
		if len(frame) == cap(frame) {
			frame = b.grow(frame)
		}
		var n int
		n, err = r.Read(frame[len(frame):cap(frame)])
		frame = frame[:len(frame)+n]
	}
	if err != io.EOF {
		return nil, err
	}
	if b.large = len(frame) > smallBufferLimit; b.large {
		b.expected = min(len(frame)+bytes.MinRead, maxPooled)
	}
	return frame, nil
}

// grow returns more memory for a frame that has come so far.
func (b *frameBuffer) grow(frame []byte) []byte {
	size := max(bytes.MinRead, 2*cap(frame))
	if size <= smallBufferLimit {
		b.small = append(make([]byte, 0, size), frame...)
		return b.small
	}
	defer putLarge(frame)
	return append(getLarge(max(size, b.expected)), frame...)
}

// detach makes a frame that was just read the caller's, in memory of no more than twice its
// size: that which it was read into where the frame fills half of it.
func (b *frameBuffer) detach(frame []byte) []byte {
	if len(frame) < cap(frame)/2 || cap(frame) == 0 {
		defer putLarge(frame)
		return bytes.Clone(frame)
	}
	if !isLarge(frame) {
		b.small = nil
	}
	return frame[:len(frame):len(frame)]
}

// isLarge tells whether a frame is in memory that is to be given back.
func isLarge(frame []byte) bool { return cap(frame) > smallBufferLimit }

// largePool is memory for large frames. What nobody needs, the garbage collector takes.
var largePool sync.Pool //nolint:gochecknoglobals // it is there to be shared

func getLarge(size int) []byte {
	if memory, ok := largePool.Get().(*[]byte); ok && cap(*memory) >= size {
		return (*memory)[:0]
	}
	return make([]byte, 0, size)
}

// putLarge says that a frame is not needed any more, if it is large.
func putLarge(frame []byte) {
	if isLarge(frame) && cap(frame) <= maxPooled {
		memory := frame // a copy, so that a small one costs nothing
		largePool.Put(&memory)
	}
}
