package wsx

import (
	"context"
	"slices"
	"sync"
)

// inbox holds the frames of messages that were read and that Receive has not returned.
// It never drops a frame: awaitSpace stops the reader while the inbox is full.
type inbox struct {
	limit int // of slots

	// mu guards the fields below. cond wakes all waiters at every change.
	mu        sync.Mutex
	cond      *sync.Cond
	slots     []*slot // in the order in which the frames were read
	freeSlots []*slot // for reuse
	bypassing int     // callers that need the socket read beyond the limit
	unbounded bool    // the limit no longer applies
	closed    bool
}

// slot is the place of a frame in the order in which frames were read.
type slot struct {
	frame    Frame
	reserved bool // the frame is still being decoded
}

func newInbox(limit int) *inbox {
	b := &inbox{limit: limit}
	b.cond = sync.NewCond(&b.mu)
	return b
}

// add appends a frame.
func (b *inbox) add(f Frame) {
	b.update(func() { b.newSlot().frame = f })
}

// reserve appends a slot for a frame that is still to be decoded. The caller must
// either commit or abort it.
func (b *inbox) reserve() (s *slot) {
	b.update(func() {
		s = b.newSlot()
		s.reserved = true
	})
	return s
}

// newSlot appends an empty slot. The caller holds mu.
func (b *inbox) newSlot() *slot {
	var s *slot
	if last := len(b.freeSlots) - 1; last >= 0 {
		s, b.freeSlots = b.freeSlots[last], b.freeSlots[:last]
	} else {
		s = new(slot)
	}
	b.slots = append(b.slots, s)
	return s
}

// commit puts a frame into a reserved slot.
func (b *inbox) commit(s *slot, f Frame) {
	b.update(func() { s.frame, s.reserved = f, false })
}

// abort removes a reserved slot.
func (b *inbox) abort(s *slot) {
	b.update(func() {
		b.slots = slices.DeleteFunc(b.slots, func(other *slot) bool { return other == s })
	})
}

// awaitSpace blocks while the inbox is full, which stops the reading of the socket. It
// does not block while a caller bypasses the limit.
func (b *inbox) awaitSpace() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.isFull() {
		b.cond.Wait()
	}
}

// stopsReading reports whether awaitSpace blocks now.
func (b *inbox) stopsReading() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.isFull()
}

// isFull reports whether frames wait up to the limit. The caller holds mu.
func (b *inbox) isFull() bool {
	return len(b.slots) >= b.limit && b.bypassing == 0 && !b.unbounded
}

// bypassLimit keeps the socket being read until the caller calls the returned function.
// A caller that waits for the answer to a subscription needs it because the answer
// comes behind the messages of the subscription.
func (b *inbox) bypassLimit() (restore func()) {
	b.update(func() { b.bypassing++ })
	return func() { b.update(func() { b.bypassing-- }) }
}

// removeLimit lets the reader run to the end of the stream.
func (b *inbox) removeLimit() {
	b.update(func() { b.unbounded = true })
}

// close makes next return ErrClosed once the inbox is empty.
func (b *inbox) close() {
	b.update(func() { b.closed = true })
}

func (b *inbox) update(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	b.cond.Broadcast()
}

// next removes and returns the oldest frame. It waits for one until ctx ends or the
// inbox is closed and empty (ErrClosed). It also waits while there is no connection: the
// last connection may still be draining, and the next one is opened only after that.
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

// tryNext removes the oldest frames and appends them to frames, without waiting. It
// stops once it has appended frames with the wanted number of messages or more.
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

// pop removes the oldest frame if it is decoded. The caller holds mu.
func (b *inbox) pop() (Frame, bool) {
	if len(b.slots) == 0 || b.slots[0].reserved {
		return Frame{}, false
	}
	s := b.slots[0]
	f := s.frame
	*s = slot{} // nothing else refers to it
	b.freeSlots = append(b.freeSlots, s)
	b.slots[0] = nil
	b.slots = b.slots[1:]
	b.cond.Broadcast()
	return f, true
}
