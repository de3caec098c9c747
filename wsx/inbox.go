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
	mu        sync.Mutex
	cond      *sync.Cond
	slots     []*slot
	freeSlots []*slot // for those that come
	bypassing int     // how many callers need the socket read whatever waits
	unbounded bool    // nothing holds the reader up any more
	closed    bool
}

// slot is where a frame stands in the order in which frames were read.
type slot struct {
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
	b.update(func() { b.newSlot().frame = f })
}

// reserve keeps a place for a frame that is still to be decoded.
func (b *inbox) reserve() (p *slot) {
	b.update(func() {
		p = b.newSlot()
		p.reserved = true
	})
	return p
}

// newSlot makes the last place. mu is held.
func (b *inbox) newSlot() *slot {
	var p *slot
	if last := len(b.freeSlots) - 1; last >= 0 {
		p, b.freeSlots = b.freeSlots[last], b.freeSlots[:last]
	} else {
		p = new(slot)
	}
	b.slots = append(b.slots, p)
	return p
}

// commit puts a frame into its place.
func (b *inbox) commit(p *slot, f Frame) {
	b.update(func() { p.frame, p.reserved = f, false })
}

// abort gives a place up.
func (b *inbox) abort(p *slot) {
	b.update(func() {
		b.slots = slices.DeleteFunc(b.slots, func(other *slot) bool { return other == p })
	})
}

// awaitSpace blocks while limit frames wait to be taken, which is what stops
// the reading of the socket. It does not block while someone hurries: the
// answer to a subscription stands behind the messages that it causes.
func (b *inbox) awaitSpace() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.slots) >= b.limit && b.bypassing == 0 && !b.unbounded {
		b.cond.Wait()
	}
}

// bypassLimit keeps the socket being read until the returned function is called.
func (b *inbox) bypassLimit() func() {
	b.update(func() { b.bypassing++ })
	return func() { b.update(func() { b.bypassing-- }) }
}

// removeLimit lets the reader run to the end of the stream, whatever waits.
func (b *inbox) removeLimit() {
	b.update(func() { b.unbounded = true })
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

// next returns the oldest frame. It waits for one until ctx ends, unless none will
// ever come again (ErrClosed). It waits without a connection too: a taker that had to
// wait for the next connection elsewhere would not take what still comes of the last
// one, and the next one waits for that.
func (b *inbox) next(ctx context.Context) (Frame, error) {
	stop := context.AfterFunc(ctx, func() { b.update(func() {}) })
	defer stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		f, ok := b.pop()
		switch {
		case ok:
			return f, nil
		case b.closed && len(b.slots) == 0:
			return Frame{}, ErrClosed
		case ctx.Err() != nil:
			return Frame{}, context.Cause(ctx)
		}
		b.cond.Wait()
	}
}

// tryNext appends the oldest frames, as far as they are there, until they have as
// many messages as are wanted.
func (b *inbox) tryNext(frames []Frame, wanted int) []Frame {
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
	if len(b.slots) == 0 || b.slots[0].reserved {
		return Frame{}, false
	}
	p := b.slots[0]
	f := p.frame
	*p = slot{} // nobody else has it
	b.freeSlots = append(b.freeSlots, p)
	b.slots[0] = nil
	b.slots = b.slots[1:]
	b.cond.Broadcast()
	return f, true
}
