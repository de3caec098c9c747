// Package throttle limits how often a line is logged.
package throttle

import (
	"sync"
	"time"
)

// Interval is the shortest time between two equal lines of a log at INFO and above.
const Interval = time.Minute

// Throttle allows one event in an Interval. The zero value is ready for use. Its methods may be
// called by several goroutines at once.
type Throttle struct {
	mu   sync.Mutex // guards last
	last time.Time
}

// Allow reports whether an event may occur now, and notes that it does.
func (t *Throttle) Allow() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if !t.last.IsZero() && now.Sub(t.last) < Interval {
		return false
	}
	t.last = now
	return true
}
