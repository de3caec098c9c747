package wsx

import (
	"context"
	"slices"
	"sync"
)

// inbox holds the frames that were read and not yet taken. It never drops one:
// what is bounded is the reading, by awaitSpace.
type inbox struct {
	limit int

	// mu is held for a few assignments only; waiting is done on cond.
	mu       sync.Mutex
	cond     *sync.Cond
	places   []*place
	free     []*place // for those that come
	hurried  int      // how many callers need the socket read whatever waits
	released bool     // nothing holds the reader up any more
	closed   bool
}

// place is where a frame stands in the order in which frames were read.
type place struct {
	frame    Frame
	reserved bool // it is still being decoded
}

func newInbox(limit int) *inbox {
	b := &inbox{limit: limit}
	b.cond = sync.NewCond(&b.mu)
	return b
}

// add keeps a frame.
func (b *inbox) add(f Frame) {
	b.update(func() { b.place().frame = f })
}

// reserve keeps a place for a frame that is still to be decoded.
func (b *inbox) reserve() (p *place) {
	b.update(func() {
		p = b.place()
		p.reserved = true
	})
	return p
}

// place makes the last place. mu is held.
func (b *inbox) place() *place {
	var p *place
	if last := len(b.free) - 1; last >= 0 {
		p, b.free = b.free[last], b.free[:last]
	} else {
		p = new(place)
	}
	b.places = append(b.places, p)
	return p
}

// fill puts a frame into its place.
func (b *inbox) fill(p *place, f Frame) {
	b.update(func() { p.frame, p.reserved = f, false })
}

// drop gives a place up.
func (b *inbox) drop(p *place) {
	b.update(func() {
		b.places = slices.DeleteFunc(b.places, func(other *place) bool { return other == p })
	})
}

// awaitSpace blocks while limit frames wait to be taken, which is what stops
// the reading of the socket. It does not block while someone hurries: the
// answer to a subscription stands behind the messages that it causes.
func (b *inbox) awaitSpace() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.places) >= b.limit && b.hurried == 0 && !b.released {
		b.cond.Wait()
	}
}

// hurry keeps the socket being read until the returned function is called.
func (b *inbox) hurry() func() {
	b.update(func() { b.hurried++ })
	return func() { b.update(func() { b.hurried-- }) }
}

// release lets the reader run to the end of the stream, whatever waits.
func (b *inbox) release() {
	b.update(func() { b.released = true })
}

// close ends all waiting. Frames that are there can still be taken.
func (b *inbox) close() {
	b.update(func() { b.closed = true })
}

func (b *inbox) update(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	b.cond.Broadcast()
}

// take returns the oldest frame. It waits for one until ctx ends, unless none will
// ever come again (ErrClosed). It waits without a connection too: a taker that had to
// wait for the next connection elsewhere would not take what still comes of the last
// one, and the next one waits for that.
func (b *inbox) take(ctx context.Context) (Frame, error) {
	stop := context.AfterFunc(ctx, func() { b.update(func() {}) })
	defer stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		f, ok := b.pop()
		switch {
		case ok:
			return f, nil
		case b.closed && len(b.places) == 0:
			return Frame{}, ErrClosed
		case ctx.Err() != nil:
			return Frame{}, context.Cause(ctx)
		}
		b.cond.Wait()
	}
}

// takeWaiting appends the oldest frames, as far as they are there, until they have as
// many messages as are wanted.
func (b *inbox) takeWaiting(frames []Frame, wanted int) []Frame {
	b.mu.Lock()
	defer b.mu.Unlock()
	for wanted > 0 {
		f, ok := b.pop()
		if !ok {
			break
		}
		frames = append(frames, f)
		wanted -= len(f.Messages)
	}
	return frames
}

// pop removes the oldest frame, if it is there. mu is held.
func (b *inbox) pop() (Frame, bool) {
	if len(b.places) == 0 || b.places[0].reserved {
		return Frame{}, false
	}
	p := b.places[0]
	f := p.frame
	*p = place{} // nobody else has it
	b.free = append(b.free, p)
	b.places[0] = nil
	b.places = b.places[1:]
	b.cond.Broadcast()
	return f, true
}
