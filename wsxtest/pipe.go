package wsxtest

import (
	"io"
	"os"
	"sync"
	"time"
)

// pipeSize is how much one direction of an in-memory connection holds, in
// bytes, before a write waits for the reader.
const pipeSize = 64 << 10

// pipe is one direction of an in-memory connection: a bounded buffer.
type pipe struct {
	// mu guards what is below; nothing waits under it.
	mu            sync.Mutex
	buffer        []byte
	closed        bool
	readDeadline  time.Time
	writeDeadline time.Time
	// changed is closed, and replaced, whenever one of the above changes.
	changed chan struct{}
}

func newPipe() *pipe {
	return &pipe{changed: make(chan struct{})}
}

// broadcast wakes all who wait. The caller holds mu.
func (p *pipe) broadcast() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// read takes what is there, or waits. A closed pipe is read to its end first.
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

// write writes all of b, waiting for room.
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

// waitForChange waits for a change. It returns false when the deadline passed first.
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
