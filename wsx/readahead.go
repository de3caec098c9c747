package wsx

import "sync"

const (
	// readAheadSize is the most that is read ahead, in bytes.
	readAheadSize = 32 << 10
	// maxSmallRead is the size of the largest read that is extended by read-ahead, in
	// bytes. A larger read belongs to a large frame and goes straight to its buffer.
	maxSmallRead = 4 << 10
)

// readAheadPool holds the buffers of read-ahead.
var readAheadPool = sync.Pool{ //nolint:gochecknoglobals // it is there to be shared
	New: func() any { return new([readAheadSize]byte) },
}

// readAhead reads more than it is asked for while more is likely to have arrived, so
// that small frames that arrive together take few system calls. It holds a buffer only
// while there is data in it.
type readAhead struct {
	disabled   bool
	moreLikely bool // the last read filled its buffer
	memory     *[readAheadSize]byte
	buffered   []byte // read and not yet returned
}

// read copies buffered data to p.
func (a *readAhead) read(p []byte) int {
	n := copy(p, a.buffered)
	a.buffered = a.buffered[n:]
	if len(a.buffered) == 0 && a.memory != nil {
		readAheadPool.Put(a.memory)
		a.memory = nil
	}
	return n
}

// buffer returns the buffer for the next read from the socket: p or a larger one. Nothing
// may be buffered.
func (a *readAhead) buffer(p []byte) []byte {
	if a.disabled || !a.moreLikely || len(p) > maxSmallRead {
		return p
	}
	a.memory = readAheadPool.Get().(*[readAheadSize]byte) //nolint:forcetypeassert // nothing else is in there
	return a.memory[:]
}

// commit records that n bytes were read into buffer(p). It returns how many of them are
// in p.
func (a *readAhead) commit(p []byte, n int) int {
	if a.memory == nil {
		a.moreLikely = n == len(p) && n <= maxSmallRead
		return n
	}
	a.moreLikely, a.buffered = n == readAheadSize, a.memory[:n]
	return a.read(p)
}
