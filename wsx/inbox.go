package wsx

import (
	"context"
	"sync"
)

// inbox holds the frames that were read and not yet taken. It never drops one:
// what is bounded is the reading, by awaitSpace.
type inbox struct {
	limit int

	// mu is held for a few assignments only; waiting is done on cond.
	mu       sync.Mutex
	cond     *sync.Cond
	frames   []Frame
	hurried  int  // how many callers need the socket read whatever waits
	released bool // nothing holds the reader up any more
	closed   bool
}

func newInbox(limit int) *inbox {
	b := &inbox{limit: limit}
	b.cond = sync.NewCond(&b.mu)
	return b
}

// add keeps a frame.
func (b *inbox) add(f Frame) {
	b.update(func() { b.frames = append(b.frames, f) })
}

// awaitSpace blocks while limit frames wait to be taken, which is what stops
// the reading of the socket. It does not block while someone hurries: the
// answer to a subscription stands behind the messages that it causes.
func (b *inbox) awaitSpace() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.frames) >= b.limit && b.hurried == 0 && !b.released {
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
		switch {
		case len(b.frames) > 0:
			return b.pop(), nil
		case b.closed:
			return Frame{}, ErrClosed
		case ctx.Err() != nil:
			return Frame{}, context.Cause(ctx)
		}
		b.cond.Wait()
	}
}

// takeWaiting returns the oldest frame, if there is one.
func (b *inbox) takeWaiting() (Frame, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.frames) == 0 {
		return Frame{}, false
	}
	return b.pop(), true
}

// pop removes the oldest frame. mu is held and there is one.
func (b *inbox) pop() Frame {
	f := b.frames[0]
	b.frames[0] = Frame{}
	b.frames = b.frames[1:]
	b.cond.Broadcast()
	return f
}
