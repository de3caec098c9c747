package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// osTimer is a timer of the kernel. The runtime waits for it as for a socket.
type osTimer struct {
	fd   int
	file *os.File
}

func newOSTimer() (*osTimer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &osTimer{fd, os.NewFile(uintptr(fd), "timer")}, nil
}

// set makes the timer expire once, after delay. It replaces an earlier setting.
func (t *osTimer) set(delay time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, delay.Nanoseconds()))}
	_ = unix.TimerfdSettime(t.fd, 0, &spec, nil) // fails only for an invalid time
}

// wait waits until the timer expires. It fails when the timer is closed.
func (t *osTimer) wait() error {
	var expirations [8]byte
	_, err := t.file.Read(expirations[:])
	return err
}

func (t *osTimer) close() { _ = t.file.Close() }
