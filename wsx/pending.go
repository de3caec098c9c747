package wsx

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// pendingCalls holds the calls of a session that wait for an answer. Each call gets
// exactly one result: from the server, from its deadline, or from the end of the session.
type pendingCalls struct {
	// slots bounds the calls that the server has not answered.
	slots chan struct{}
	// abandoned counts those of them whose callers gave up.
	abandoned    atomic.Int64
	onLateAnswer func()

	// mu guards the fields below. Nothing blocks under it.
	mu        sync.Mutex
	calls     map[string]*pendingCall // by message id
	freeList  []*pendingCall          // answered calls, for reuse
	closedErr error                   // set when the session has ended

	// timer fires at timerAt, when the first deadline may pass. One timer serves all
	// calls because a later call mostly has a later deadline.
	timer   *time.Timer
	timerAt time.Time // zero for never
}

// pendingCall is a call that the server has not answered.
type pendingCall struct {
	result   chan result // buffered, for exactly one result
	slot     bool        // the call holds one of the session's slots
	deadline callDeadline
	// abandoned is the time when the caller gave up. The slot stays taken because the
	// server still works on the call and would make the next one wait.
	abandoned time.Time
}

// result is the outcome of one call.
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

// register adds a call with the message id. If it fails, it releases the slot of the
// call.
func (p *pendingCalls) register(id string, deadline callDeadline, slot bool) (*pendingCall, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	call := p.newCall()
	call.slot, call.deadline = slot, deadline
	err := p.closedErr
	if _, taken := p.calls[id]; taken {
		err = &InvalidError{"id", "another call with this message id waits for its answer"}
	}
	if err != nil {
		p.releaseSlot(call)
		return nil, err
	}
	p.calls[id] = call
	p.armTimer(deadline.at)
	return call, nil
}

// wait returns the result of a call. When ctx ends first, the call is abandoned.
func (p *pendingCalls) wait(ctx context.Context, call *pendingCall) (result, error) {
	select {
	case r := <-call.result:
		p.recycle(call, r)
		return r, r.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case r := <-call.result: // at the same moment
		return r, r.err
	default:
		return result{}, p.abandon(call, time.Now(), context.Cause(ctx))
	}
}

// newCall returns a pending call, if possible a used one. The caller holds mu.
func (p *pendingCalls) newCall() *pendingCall {
	if len(p.freeList) == 0 {
		return &pendingCall{result: make(chan result, 1)}
	}
	last := len(p.freeList) - 1
	call := p.freeList[last]
	p.freeList = p.freeList[:last]
	return call
}

// recycle keeps an answered call for reuse: nothing else refers to it. It drops the
// calls of the session itself, which are few.
func (p *pendingCalls) recycle(call *pendingCall, r result) {
	if r.err != nil || !call.slot {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.freeList = append(p.freeList, call)
}

// resolve gives a call its result. It drops the answer to an abandoned call and calls
// onLateAnswer.
func (p *pendingCalls) resolve(id string, r result) {
	p.mu.Lock()
	call := p.remove(id)
	late := call != nil && !call.abandoned.IsZero()
	if call != nil && !late {
		call.result <- r
	}
	p.mu.Unlock()
	if late {
		p.onLateAnswer()
	}
}

// cancel removes a call that was not sent, or not to its end, because of err. It returns the
// error for the caller.
func (p *pendingCalls) cancel(id string, call *pendingCall, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(id)
	select {
	case r := <-call.result: // the session has ended
		if errors.Is(r.err, ErrRequestTooLarge) {
			return r.err
		}
	default:
	}
	return notSent(err)
}

// close fails the pending calls with sentErr, or with onlyErr if there is only one, and every
// later call with unsentErr.
func (p *pendingCalls) close(sentErr, onlyErr, unsentErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closedErr = unsentErr
	if len(p.calls) == 1 {
		sentErr = onlyErr
	}
	for _, call := range p.calls {
		if call.abandoned.IsZero() {
			call.result <- result{err: sentErr}
		}
	}
	clear(p.calls)
	if p.timer != nil {
		p.timer.Stop()
	}
}

// remove removes a call and releases its slot. The caller holds mu.
func (p *pendingCalls) remove(id string) *pendingCall {
	call := p.calls[id]
	if call == nil {
		return nil
	}
	delete(p.calls, id)
	if !call.abandoned.IsZero() {
		p.abandoned.Add(-1)
	}
	p.releaseSlot(call)
	return call
}

func (p *pendingCalls) releaseSlot(call *pendingCall) {
	if call.slot {
		<-p.slots
	}
}

// armTimer makes the timer fire at the given time or earlier. The caller holds mu.
func (p *pendingCalls) armTimer(at time.Time) {
	if at.IsZero() || (!p.timerAt.IsZero() && !at.Before(p.timerAt)) {
		return
	}
	p.timerAt = at
	if p.timer == nil {
		p.timer = time.AfterFunc(time.Until(at), p.expire)
	} else {
		p.timer.Reset(time.Until(at))
	}
}

// expire abandons the calls whose deadline has passed.
func (p *pendingCalls) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.timerAt = time.Time{}
	for _, call := range p.calls {
		switch {
		case !call.abandoned.IsZero() || call.deadline.at.IsZero():
		case call.deadline.at.After(now):
			p.armTimer(call.deadline.at)
		default:
			call.result <- result{err: p.abandon(call, now, call.deadline.cause)}
		}
	}
}

// abandon marks a call whose caller gives up because of cause, and returns the error
// for the caller. The caller of abandon holds mu.
func (p *pendingCalls) abandon(call *pendingCall, at time.Time, cause error) error {
	call.abandoned = at
	p.abandoned.Add(1)
	return &CallError{Op: "waiting for the answer", Err: cause}
}

// isAlone reports whether a call waits for an answer and no other one does.
func (p *pendingCalls) isAlone(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[id] != nil && len(p.calls) == 1+int(p.abandoned.Load())
}

// hasStalled reports whether a call that was abandoned longer than limit ago still has
// no answer.
func (p *pendingCalls) hasStalled(limit time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, call := range p.calls {
		if !call.abandoned.IsZero() && time.Since(call.abandoned) > limit {
			return true
		}
	}
	return false
}
