package wsx

import "sync"

const (
	// aheadSize is how much is read ahead at most, in bytes.
	aheadSize = 32 << 10
	// smallRead is of what size a read is at most for which more is read, in bytes. What
	// belongs to a large frame is read to where it is wanted.
	smallRead = 4 << 10
)

// aheads has memory for what is read ahead.
var aheads = sync.Pool{ //nolint:gochecknoglobals // it is there to be shared
	New: func() any { return new([aheadSize]byte) },
}

// readAhead reads more than it is asked for while more has come, so that small frames
// that come together take few system calls. It has memory only while it has something.
type readAhead struct {
	off    bool
	plenty bool // the last read left something, as it seems
	memory *[aheadSize]byte
	rest   []byte // what was read ahead
}

// take takes what was read ahead.
func (a *readAhead) take(p []byte) int {
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	if len(a.rest) == 0 && a.memory != nil {
		aheads.Put(a.memory)
		a.memory = nil
	}
	return n
}

// room returns where to read to when all was taken: p, or memory for more.
func (a *readAhead) room(p []byte) []byte {
	if a.off || !a.plenty || len(p) > smallRead {
		return p
	}
	a.memory = aheads.Get().(*[aheadSize]byte) //nolint:forcetypeassert // nothing else is in there
	return a.memory[:]
}

// filled notes how much was read into the room for p, and returns how much is in p.
func (a *readAhead) filled(p []byte, read int) int {
	if a.memory == nil {
		a.plenty = read == len(p) && read <= smallRead
		return read
	}
	a.plenty, a.rest = read == aheadSize, a.memory[:read]
	return a.take(p)
}
