package wsxtest

import (
	"io"
	"os"
	"sync"
	"time"
)

// pipeSize is the capacity of one direction of an in-memory connection, in bytes. A
// write to a full pipe blocks.
const pipeSize = 64 << 10

// pipe is one direction of an in-memory connection.
type pipe struct {
	// mu guards the fields below. Nothing blocks while holding it.
	mu            sync.Mutex
	buffer        []byte
	closed        bool
	readDeadline  time.Time
	writeDeadline time.Time
	// changed is closed and replaced when one of the fields above changes.
	changed chan struct{}
}

func newPipe() *pipe {
	return &pipe{changed: make(chan struct{})}
}

// broadcast wakes all blocked reads and writes. The caller holds mu.
func (p *pipe) broadcast() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// read reads buffered bytes, or waits for some. It returns io.EOF once the pipe is
// closed and empty.
func (p *pipe) read(b []byte) (int, error) {
	for {
		n, deadline, changed, err := p.tryRead(b)
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		if !waitForChange(changed, deadline) {
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (p *pipe) tryRead(b []byte) (int, time.Time, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.readDeadline.IsZero() && !time.Now().Before(p.readDeadline):
		return 0, p.readDeadline, p.changed, os.ErrDeadlineExceeded
	case len(p.buffer) > 0:
		n := copy(b, p.buffer)
		p.buffer = p.buffer[n:]
		p.broadcast()
		return n, p.readDeadline, p.changed, nil
	case p.closed:
		return 0, p.readDeadline, p.changed, io.EOF
	}
	return 0, p.readDeadline, p.changed, nil
}

// write writes all of b. It blocks while the pipe is full.
func (p *pipe) write(b []byte) (int, error) {
	written := 0
	for {
		n, deadline, changed, err := p.tryWrite(b[written:])
		written += n
		if err != nil || written == len(b) {
			return written, err
		}
		if n == 0 && !waitForChange(changed, deadline) {
			return written, os.ErrDeadlineExceeded
		}
	}
}

func (p *pipe) tryWrite(b []byte) (int, time.Time, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, p.writeDeadline, p.changed, io.ErrClosedPipe
	case !p.writeDeadline.IsZero() && !time.Now().Before(p.writeDeadline):
		return 0, p.writeDeadline, p.changed, os.ErrDeadlineExceeded
	}
	n := min(len(b), pipeSize-len(p.buffer))
	if n > 0 {
		p.buffer = append(p.buffer, b[:n]...)
		p.broadcast()
	}
	return n, p.writeDeadline, p.changed, nil
}

func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.broadcast()
	}
}

func (p *pipe) setReadDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readDeadline = t
	p.broadcast()
}

func (p *pipe) setWriteDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writeDeadline = t
	p.broadcast()
}

// waitForChange waits until changed is closed. It returns false if the deadline
// passes first.
func waitForChange(changed <-chan struct{}, deadline time.Time) bool {
	if deadline.IsZero() {
		<-changed
		return true
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-changed:
		return true
	case <-timer.C:
		return false
	}
}
