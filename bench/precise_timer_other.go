//go:build !linux

package main

import (
	"os"
	"time"
)

// osTimer is a timer of the Go runtime, for systems without timerfd.
type osTimer struct {
	timer  *time.Timer
	closed chan struct{}
}

func newOSTimer() (*osTimer, error) {
	return &osTimer{time.NewTimer(time.Hour), make(chan struct{})}, nil
}

// set makes the timer expire once, after delay. It replaces an earlier setting.
func (t *osTimer) set(delay time.Duration) { t.timer.Reset(delay) }

// wait waits until the timer expires. It fails when the timer is closed.
func (t *osTimer) wait() error {
	select {
	case <-t.timer.C:
		return nil
	case <-t.closed:
		return os.ErrClosed
	}
}

func (t *osTimer) close() { close(t.closed) }
