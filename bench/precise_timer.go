package main

import (
	"slices"
	"sync"
	"time"
)

// preciseTimer lets services take as long as they are to. The timers of the Go runtime do not:
// where there is nothing to do, it waits whole milliseconds from the moment on in which
// it has done everything. What a client costs would so be a part of how long a service
// takes, and count for all calls that are under way.
type preciseTimer struct {
	timer *exactTimer

	// mu guards what follows.
	mu     sync.Mutex
	alarms []alarm // the next one first
}

type alarm struct {
	due  time.Time
	rang chan struct{} // closed when it has rung
}

func newPreciseTimer() (*preciseTimer, error) {
	timer, err := newExactTimer()
	if err != nil {
		return nil, err
	}
	c := &preciseTimer{timer: timer}
	go func() {
		for c.timer.wait() == nil { // until it is closed
			c.ring()
		}
	}()
	return c, nil
}

func (c *preciseTimer) close() { c.timer.close() }

// await waits for a time, for ever where the clock is closed meanwhile.
func (c *preciseTimer) await(due time.Time) {
	a := alarm{due: due, rang: make(chan struct{})}
	c.add(a)
	<-a.rang
}

func (c *preciseTimer) add(a alarm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, _ := slices.BinarySearchFunc(c.alarms, a, func(a, b alarm) int { return a.due.Compare(b.due) })
	c.alarms = slices.Insert(c.alarms, at, a)
	if at == 0 {
		c.timer.set(time.Until(a.due))
	}
}

// ring wakes those whose time has come.
func (c *preciseTimer) ring() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.alarms) > 0 {
		next := c.alarms[0]
		if left := time.Until(next.due); left > 0 {
			c.timer.set(left)
			return
		}
		close(next.rang)
		c.alarms = slices.Delete(c.alarms, 0, 1)
	}
}
