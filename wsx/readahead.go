package wsx

import "sync"

const (
	// readAheadSize is how much is read ahead at most, in bytes.
	readAheadSize = 32 << 10
	// maxSmallRead is of what size a read is at most for which more is read, in bytes. What
	// belongs to a large frame is read to where it is wanted.
	maxSmallRead = 4 << 10
)

// readAheadPool has memory for what is read ahead.
var readAheadPool = sync.Pool{ //nolint:gochecknoglobals // it is there to be shared
	New: func() any { return new([readAheadSize]byte) },
}

// readAhead reads more than it is asked for while more has come, so that small frames
// that come together take few system calls. It has memory only while it has something.
type readAhead struct {
	disabled   bool
	moreLikely bool // the last read left something, as it seems
	memory     *[readAheadSize]byte
	buffered   []byte // what was read ahead
}

// read takes what was read ahead.
func (a *readAhead) read(p []byte) int {
	n := copy(p, a.buffered)
	a.buffered = a.buffered[n:]
	if len(a.buffered) == 0 && a.memory != nil {
		readAheadPool.Put(a.memory)
		a.memory = nil
	}
	return n
}

// buffer returns where to read to when all was taken: p, or memory for more.
func (a *readAhead) buffer(p []byte) []byte {
	if a.disabled || !a.moreLikely || len(p) > maxSmallRead {
		return p
	}
	a.memory = readAheadPool.Get().(*[readAheadSize]byte) //nolint:forcetypeassert // nothing else is in there
	return a.memory[:]
}

// commit notes how much was read into the room for p, and returns how much is in p.
func (a *readAhead) commit(p []byte, read int) int {
	if a.memory == nil {
		a.moreLikely = read == len(p) && read <= maxSmallRead
		return read
	}
	a.moreLikely, a.buffered = read == readAheadSize, a.memory[:read]
	return a.read(p)
}
