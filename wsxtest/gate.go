package wsxtest

import (
	"net"
	"sync"
	"time"
)

// gate holds back reads and writes of all connections during a stall.
type gate struct {
	// mu guards until; nothing waits under it.
	mu    sync.Mutex
	until time.Time
}

func (g *gate) shut(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until = time.Now().Add(d)
}

func (g *gate) left() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Until(g.until)
}

// pass waits until the gate is open or done is closed.
func (g *gate) pass(done <-chan struct{}) {
	for {
		left := g.left()
		if left <= 0 {
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-done:
			timer.Stop()
			return
		}
	}
}

// gatedListener puts the gate before every connection it accepts.
type gatedListener struct {
	net.Listener

	gate *gate
}

// Accept waits for a connection.
func (l gatedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gatedConn{Conn: conn, gate: l.gate, done: make(chan struct{})}, nil
}

type gatedConn struct {
	net.Conn

	gate    *gate
	closing sync.Once
	done    chan struct{}
}

// Read reads, and keeps what came to itself while the gate is shut.
func (c *gatedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.gate.pass(c.done)
	return n, err
}

// Write writes once the gate is open.
func (c *gatedConn) Write(b []byte) (int, error) {
	c.gate.pass(c.done)
	return c.Conn.Write(b)
}

// Close closes, also while the gate is shut.
func (c *gatedConn) Close() error {
	c.closing.Do(func() { close(c.done) })
	return c.Conn.Close()
}
