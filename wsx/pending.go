package wsx

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// pendingCalls are the calls of a session that wait for their answers. Each of them is told
// something once: by the server, by its limit, or by the end of the session.
type pendingCalls struct {
	// slots bounds the calls that the server has and has not answered.
	slots chan struct{}
	// abandoned is how many of them nobody waits for any more.
	abandoned    atomic.Int64
	onLateAnswer func()

	// mu guards what follows; nothing that can block happens under it.
	mu        sync.Mutex
	calls     map[string]*pendingCall
	freeList  []*pendingCall // of calls that have their answers, for those that come
	closedErr error          // of the session

	// timer goes off when the first of the calls may be to be given up, at due. One
	// timer for all is enough: a later call mostly ends later, too.
	timer   *time.Timer
	timerAt time.Time // zero for never
}

// pendingCall is a call that the server has and has not answered.
type pendingCall struct {
	result   chan result  // room for the one thing that can be told
	slot     bool         // the call holds one of the session's slots
	deadline callDeadline // of the waiting
	// abandoned is when the caller gave up. The slot stays taken, for the server
	// is still busy with the call and would let the next one wait.
	abandoned time.Time
}

// result is what came for one call.
type result struct {
	data   []byte
	status int
	err    error
}

func newPendingCalls(slots int, onLateAnswer func()) *pendingCalls {
	return &pendingCalls{
		slots: make(chan struct{}, slots), onLateAnswer: onLateAnswer, calls: map[string]*pendingCall{},
	}
}

// register returns the waiter for the answer to id. Where there can be none, a slot that
// was held is free again.
func (w *pendingCalls) register(id string, end callDeadline, slot bool) (*pendingCall, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	call := w.newCall()
	call.slot, call.deadline = slot, end
	err := w.closedErr
	if _, taken := w.calls[id]; taken {
		err = &InvalidError{"id", "another call with this message id waits for its answer"}
	}
	if err != nil {
		w.releaseSlot(call)
		return nil, err
	}
	w.calls[id] = call
	w.armTimer(end.at)
	return call, nil
}

// wait returns what a call is told, which is no more waited for when ctx ends.
func (w *pendingCalls) wait(ctx context.Context, call *pendingCall) (result, error) {
	select {
	case a := <-call.result:
		w.recycle(call, a)
		return a, a.err
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case a := <-call.result: // at the same moment
		return a, a.err
	default:
		return result{}, w.abandon(call, time.Now(), context.Cause(ctx))
	}
}

// newCall returns one for a call. The mutex is held.
func (w *pendingCalls) newCall() *pendingCall {
	if len(w.freeList) == 0 {
		return &pendingCall{result: make(chan result, 1)}
	}
	last := len(w.freeList) - 1
	call := w.freeList[last]
	w.freeList = w.freeList[:last]
	return call
}

// recycle keeps the waiter of a call that has its answer, so that nobody else knows it
// any more.
func (w *pendingCalls) recycle(call *pendingCall, a result) {
	if a.err != nil || !call.slot {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.freeList = append(w.freeList, call)
}

// resolve tells a call its answer. One that nobody waits for any more is dropped.
func (w *pendingCalls) resolve(id string, a result) {
	w.mu.Lock()
	call := w.remove(id)
	late := call != nil && !call.abandoned.IsZero()
	if call != nil && !late {
		call.result <- a
	}
	w.mu.Unlock()
	if late {
		w.onLateAnswer()
	}
}

// cancel ends the waiting of a call that was not sent.
func (w *pendingCalls) cancel(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(id)
}

// close tells all calls that the session has ended, and those that come.
func (w *pendingCalls) close(sent, unsent error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closedErr = unsent
	for _, call := range w.calls {
		if call.abandoned.IsZero() {
			call.result <- result{err: sent}
		}
	}
	clear(w.calls)
	if w.timer != nil {
		w.timer.Stop()
	}
}

// remove takes a call out and frees its slot. The mutex is held.
func (w *pendingCalls) remove(id string) *pendingCall {
	call := w.calls[id]
	if call == nil {
		return nil
	}
	delete(w.calls, id)
	if !call.abandoned.IsZero() {
		w.abandoned.Add(-1)
	}
	w.releaseSlot(call)
	return call
}

func (w *pendingCalls) releaseSlot(call *pendingCall) {
	if call.slot {
		<-w.slots
	}
}

// armTimer sees to it that a call is given up at a time. The mutex is held.
func (w *pendingCalls) armTimer(at time.Time) {
	if at.IsZero() || (!w.timerAt.IsZero() && !at.Before(w.timerAt)) {
		return
	}
	w.timerAt = at
	if w.timer == nil {
		w.timer = time.AfterFunc(time.Until(at), w.expire)
	} else {
		w.timer.Reset(time.Until(at))
	}
}

// expire gives up the calls whose time is over.
func (w *pendingCalls) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.timerAt = time.Time{}
	for _, call := range w.calls {
		switch {
		case !call.abandoned.IsZero() || call.deadline.at.IsZero():
		case call.deadline.at.After(now):
			w.armTimer(call.deadline.at)
		default:
			call.result <- result{err: w.abandon(call, now, call.deadline.cause)}
		}
	}
}

// abandon notes that nobody waits for an answer any more, and why. The mutex is held.
func (w *pendingCalls) abandon(call *pendingCall, at time.Time, why error) error {
	call.abandoned = at
	w.abandoned.Add(1)
	return &CallError{Op: "waiting for the answer", Err: why}
}

// hasStalled tells whether a call that its caller gave up long ago still has no answer.
func (w *pendingCalls) hasStalled(limit time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, call := range w.calls {
		if !call.abandoned.IsZero() && time.Since(call.abandoned) > limit {
			return true
		}
	}
	return false
}
