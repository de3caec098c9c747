package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// exactTimer is a timer of the kernel, which the runtime waits for as for a socket.
type exactTimer struct {
	fd   int
	file *os.File
}

func newExactTimer() (*exactTimer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &exactTimer{fd, os.NewFile(uintptr(fd), "timer")}, nil
}

// set has the timer go off once, however it was set before.
func (t *exactTimer) set(in time.Duration) {
	once := unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, in.Nanoseconds()))}
	_ = unix.TimerfdSettime(t.fd, 0, &once, nil) // which fails for a bad time only
}

// wait waits until the timer goes off. It fails when the timer is closed.
func (t *exactTimer) wait() error {
	var times [8]byte
	_, err := t.file.Read(times[:])
	return err
}

func (t *exactTimer) close() { _ = t.file.Close() }
