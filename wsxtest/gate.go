package wsxtest

import (
	"net"
	"sync"
	"time"
)

// gate blocks the reads and writes of all connections while the server is frozen.
type gate struct {
	// mu guards until. Nothing blocks while holding it.
	mu    sync.Mutex
	until time.Time
}

func (g *gate) closeFor(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until = time.Now().Add(d)
}

func (g *gate) remaining() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Until(g.until)
}

// wait waits until the gate is open or done is closed.
func (g *gate) wait(done <-chan struct{}) {
	for {
		d := g.remaining()
		if d <= 0 {
			return
		}
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-done:
			timer.Stop()
			return
		}
	}
}

// gatedListener accepts connections that wait at the gate.
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
	// ahead has bytes that watchClient read. Only the reader of the connection uses it.
	ahead []byte
}

// Read reads from the connection. It does not return while the gate is closed.
func (c *gatedConn) Read(b []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(b, c.ahead)
		c.ahead = c.ahead[n:]
		return n, nil
	}
	n, err := c.Conn.Read(b)
	c.gate.wait(c.done)
	return n, err
}

// Write writes once the gate is open.
func (c *gatedConn) Write(b []byte) (int, error) {
	c.gate.wait(c.done)
	return c.Conn.Write(b)
}

// Close closes the connection, even while the gate is closed.
func (c *gatedConn) Close() error {
	c.closing.Do(func() { close(c.done) })
	return c.Conn.Close()
}
