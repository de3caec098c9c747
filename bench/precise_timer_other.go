//go:build !linux

package main

import (
	"os"
	"time"
)

// exactTimer is a timer of the runtime, where there is no other.
type exactTimer struct {
	timer  *time.Timer
	closed chan struct{}
}

func newExactTimer() (*exactTimer, error) {
	return &exactTimer{time.NewTimer(time.Hour), make(chan struct{})}, nil
}

// set has the timer go off once, however it was set before.
func (t *exactTimer) set(in time.Duration) { t.timer.Reset(in) }

// wait waits until the timer goes off. It fails when the timer is closed.
func (t *exactTimer) wait() error {
	select {
	case <-t.timer.C:
		return nil
	case <-t.closed:
		return os.ErrClosed
	}
}

func (t *exactTimer) close() { close(t.closed) }
