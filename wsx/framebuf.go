package wsx

import (
	"bytes"
	"io"
	"sync"
)

const (
	// smallBufferLimit is the size, in bytes, up to which a connection keeps its buffer.
	// A larger frame uses a buffer from largePool.
	smallBufferLimit = 64 << 10
	// maxPooled is the size, in bytes, of the largest buffer that largePool keeps.
	maxPooled = 16 << 20
)

// frameBuffer reads frames. Reading into used memory is several times as fast as into
// new memory, which has to be cleared and paged in. So a connection keeps a buffer for
// small frames, and all connections share the buffers for large ones.
type frameBuffer struct {
	small    []byte
	expected int  // the expected size of a large frame
	large    bool // the last frame was large
}

// read reads one frame. A small frame is valid until the next read, a large one until
// putLargeBuffer.
func (b *frameBuffer) read(r io.Reader) (frame []byte, err error) {
	frame = b.small[:0]
	if b.large {
		frame = getLargeBuffer(b.expected)
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

// grow returns a larger buffer that holds the frame as far as it was read.
func (b *frameBuffer) grow(frame []byte) []byte {
	size := max(bytes.MinRead, 2*cap(frame))
	if size <= smallBufferLimit {
		b.small = append(make([]byte, 0, size), frame...)
		return b.small
	}
	defer putLargeBuffer(frame)
	return append(getLargeBuffer(max(size, b.expected)), frame...)
}

// detach makes the frame that was just read the caller's own. It copies the frame unless
// the frame fills at least half of its buffer.
func (b *frameBuffer) detach(frame []byte) []byte {
	if len(frame) < cap(frame)/2 || cap(frame) == 0 {
		defer putLargeBuffer(frame)
		return bytes.Clone(frame)
	}
	if !isLarge(frame) {
		b.small = nil
	}
	return frame[:len(frame):len(frame)]
}

// isLarge reports whether a frame is in a buffer of largePool.
func isLarge(frame []byte) bool { return cap(frame) > smallBufferLimit }

// largePool holds the buffers for large frames.
var largePool sync.Pool //nolint:gochecknoglobals // it is there to be shared

// getLargeBuffer returns a buffer of at least the given size.
func getLargeBuffer(size int) []byte {
	if memory, ok := largePool.Get().(*[]byte); ok && cap(*memory) >= size {
		return (*memory)[:0]
	}
	return make([]byte, 0, size)
}

// putLargeBuffer returns the buffer of a frame to largePool if it is large. The frame must not
// be used afterwards.
func putLargeBuffer(frame []byte) {
	if isLarge(frame) && cap(frame) <= maxPooled {
		memory := frame // a copy that escapes only on this path
		largePool.Put(&memory)
	}
}
