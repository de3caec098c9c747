package main

import (
	"slices"
	"sync"
	"time"
)

// A preciseTimer makes services take exactly the time that they should. Timers of the Go runtime are too
// coarse: if the process is idle, the runtime waits in whole milliseconds, and only from
// the moment at which all other work is done. The time that a client uses would then also
// prolong every call that is in flight.
type preciseTimer struct {
	timer *osTimer

	// mu guards alarms.
	mu     sync.Mutex
	alarms []alarm // sorted by due time
}

type alarm struct {
	due   time.Time
	fired chan struct{} // closed at the due time
}

func newPreciseTimer() (*preciseTimer, error) {
	osTimer, err := newOSTimer()
	if err != nil {
		return nil, err
	}
	t := &preciseTimer{timer: osTimer}
	go func() {
		for t.timer.wait() == nil { // wait fails when the timer is closed
			t.fire()
		}
	}()
	return t, nil
}

func (t *preciseTimer) close() { t.timer.close() }

// sleepUntil waits until due. It never returns if the timer is closed before.
func (t *preciseTimer) sleepUntil(due time.Time) {
	a := alarm{due: due, fired: make(chan struct{})}
	t.add(a)
	<-a.fired
}

func (t *preciseTimer) add(a alarm) {
	t.mu.Lock()
	defer t.mu.Unlock()
	index, _ := slices.BinarySearchFunc(t.alarms, a, func(a, b alarm) int { return a.due.Compare(b.due) })
	t.alarms = slices.Insert(t.alarms, index, a)
	if index == 0 {
		t.timer.set(time.Until(a.due))
	}
}

// fire wakes the sleepers whose time has come, and sets the timer for the next one.
func (t *preciseTimer) fire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.alarms) > 0 {
		next := t.alarms[0]
		if remaining := time.Until(next.due); remaining > 0 {
			t.timer.set(remaining)
			return
		}
		close(next.fired)
		t.alarms = slices.Delete(t.alarms, 0, 1)
	}
}
