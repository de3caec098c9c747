package wsx

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// waiting are the calls of a session that wait for their answers. Each of them is told
// something once: by the server, by its limit, or by the end of the session.
type waiting struct {
	// slots bounds the calls that the server has and has not answered.
	slots chan struct{}
	// abandoned is how many of them nobody waits for any more.
	abandoned atomic.Int64

	// mu guards what follows; nothing that can block happens under it.
	mu    sync.Mutex
	calls map[string]*waiter
	idle  []*waiter // of calls that have their answers, for those that come
	end   error     // of the session

	// limits goes off when the first of the calls may be to be given up, at due. One
	// timer for all is enough: a later call mostly ends later, too.
	limits *time.Timer
	due    time.Time // zero for never
}

// waiter is a call that the server has and has not answered.
type waiter struct {
	told chan answer // room for the one thing that can be told
	slot bool        // the call holds one of the session's slots
	end  limit       // of the waiting
	// abandoned is when the caller gave up. The slot stays taken, for the server
	// is still busy with the call and would let the next one wait.
	abandoned time.Time
}

// answer is what came for one call.
type answer struct {
	data   []byte
	status int
	err    error
}

func newWaiting(slots int) *waiting {
	return &waiting{slots: make(chan struct{}, slots), calls: map[string]*waiter{}}
}

// expect returns the waiter for the answer to id. Where there can be none, a slot that
// was held is free again.
func (w *waiting) expect(id string, end limit, slot bool) (*waiter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	call := w.waiter()
	call.slot, call.end = slot, end
	err := w.end
	if _, taken := w.calls[id]; taken {
		err = &InvalidError{"id", "another call with this message id waits for its answer"}
	}
	if err != nil {
		w.free(call)
		return nil, err
	}
	w.calls[id] = call
	w.watch(end.at)
	return call, nil
}

// await returns what a call is told, which is no more waited for when ctx ends.
func (w *waiting) await(ctx context.Context, call *waiter) (answer, error) {
	select {
	case a := <-call.told:
		w.reuse(call, a)
		return a, a.err
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case a := <-call.told: // at the same moment
		return a, a.err
	default:
		return answer{}, w.abandon(call, time.Now(), context.Cause(ctx))
	}
}

// waiter returns one for a call. The mutex is held.
func (w *waiting) waiter() *waiter {
	if len(w.idle) == 0 {
		return &waiter{told: make(chan answer, 1)}
	}
	last := len(w.idle) - 1
	call := w.idle[last]
	w.idle = w.idle[:last]
	return call
}

// reuse keeps the waiter of a call that has its answer, so that nobody else knows it
// any more.
func (w *waiting) reuse(call *waiter, a answer) {
	if a.err != nil || !call.slot {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = append(w.idle, call)
}

// resolve tells a call its answer. One that nobody waits for any more is dropped.
func (w *waiting) resolve(id string, a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if call := w.remove(id); call != nil && call.abandoned.IsZero() {
		call.told <- a
	}
}

// forget ends the waiting of a call that was not sent.
func (w *waiting) forget(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(id)
}

// close tells all calls that the session has ended, and those that come.
func (w *waiting) close(sent, unsent error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end = unsent
	for _, call := range w.calls {
		if call.abandoned.IsZero() {
			call.told <- answer{err: sent}
		}
	}
	clear(w.calls)
	if w.limits != nil {
		w.limits.Stop()
	}
}

// remove takes a call out and frees its slot. The mutex is held.
func (w *waiting) remove(id string) *waiter {
	call := w.calls[id]
	if call == nil {
		return nil
	}
	delete(w.calls, id)
	if !call.abandoned.IsZero() {
		w.abandoned.Add(-1)
	}
	w.free(call)
	return call
}

func (w *waiting) free(call *waiter) {
	if call.slot {
		<-w.slots
	}
}

// watch sees to it that a call is given up at a time. The mutex is held.
func (w *waiting) watch(at time.Time) {
	if at.IsZero() || (!w.due.IsZero() && !at.Before(w.due)) {
		return
	}
	w.due = at
	if w.limits == nil {
		w.limits = time.AfterFunc(time.Until(at), w.expire)
	} else {
		w.limits.Reset(time.Until(at))
	}
}

// expire gives up the calls whose time is over.
func (w *waiting) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.due = time.Time{}
	for _, call := range w.calls {
		switch {
		case !call.abandoned.IsZero() || call.end.at.IsZero():
		case call.end.at.After(now):
			w.watch(call.end.at)
		default:
			call.told <- answer{err: w.abandon(call, now, call.end.cause)}
		}
	}
}

// abandon notes that nobody waits for an answer any more, and why. The mutex is held.
func (w *waiting) abandon(call *waiter, at time.Time, why error) error {
	call.abandoned = at
	w.abandoned.Add(1)
	return &CallError{Op: "waiting for the answer", Err: why}
}

// stuck tells whether a call that its caller gave up long ago still has no answer.
func (w *waiting) stuck(limit time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, call := range w.calls {
		if !call.abandoned.IsZero() && time.Since(call.abandoned) > limit {
			return true
		}
	}
	return false
}
