package wsxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Network is a network in memory, for tests in testing/synctest bubbles. Its
// connections buffer what is written, as the kernel does: on an unbuffered pipe
// two peers that both write would wait for each other for ever.
type Network struct {
	// Buffer is how many bytes a connection holds in each direction before a
	// write blocks. The default is 1 MiB. Set it before the first connection.
	Buffer int

	mu       sync.Mutex
	listener *memListener
	dialled  int
}

// NewNetwork returns a network on which nobody listens.
func NewNetwork() *Network { return &Network{Buffer: 1 << 20} }

// Dial connects to the listener, as net.Dialer.DialContext does. Without one the
// connection is refused.
func (n *Network) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listener
	n.dialled++
	name := fmt.Sprintf("client:%d", n.dialled)
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: network, Addr: memAddr(addr), Err: errors.New("connection refused")}
	if l == nil {
		return nil, refused
	}
	up, down := newStream(n.Buffer), newStream(n.Buffer)
	client := &memConn{in: down, out: up, local: memAddr(name), remote: memAddr(addr)}
	server := &memConn{in: up, out: down, local: memAddr(addr), remote: memAddr(name)}
	select {
	case l.incoming <- server:
		return client, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n *Network) listen() (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listener != nil {
		return nil, errors.New("listen memory: address already in use")
	}
	n.listener = &memListener{network: n, incoming: make(chan net.Conn), closed: make(chan struct{})}
	return n.listener, nil
}

type memAddr string

func (memAddr) Network() string  { return "memory" }
func (a memAddr) String() string { return string(a) }

type memListener struct {
	network  *Network
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

// Accept waits for the next connection.
func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close refuses further connections.
func (l *memListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		l.network.listener = nil
	})
	return nil
}

// Addr is the same for every listener.
func (*memListener) Addr() net.Addr { return memAddr("memory") }

// memConn is one end of a connection.
type memConn struct {
	in, out       *stream
	local, remote net.Addr
}

func (c *memConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memConn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close ends both directions. The peer can read what was written.
func (c *memConn) Close() error {
	c.out.end()
	c.in.abandon()
	return nil
}

func (c *memConn) LocalAddr() net.Addr  { return c.local }
func (c *memConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *memConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *memConn) SetReadDeadline(t time.Time) error  { return c.in.setDeadline(&c.in.readBy, t) }
func (c *memConn) SetWriteDeadline(t time.Time) error { return c.out.setDeadline(&c.out.writeBy, t) }

// stream is one direction.
type stream struct {
	limit int

	// mu guards the rest; waiting is done on cond.
	mu              sync.Mutex
	cond            *sync.Cond
	data            bytes.Buffer
	ended           bool // nothing more will be written
	abandoned       bool // nothing more will be read
	readBy, writeBy deadline
}

type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newStream(limit int) *stream {
	s := &stream{limit: limit}
	s.cond = sync.NewCond(&s.mu)
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.abandoned:
			return 0, net.ErrClosed
		case s.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case s.data.Len() > 0:
			s.cond.Broadcast()
			return s.data.Read(p)
		case s.ended:
			return 0, io.EOF
		}
		s.cond.Wait()
	}
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for {
		switch {
		case s.ended:
			return written, net.ErrClosed
		case s.abandoned:
			return written, errors.New("write: broken pipe")
		case s.writeBy.passed():
			return written, os.ErrDeadlineExceeded
		}
		room := min(s.limit-s.data.Len(), len(p)-written)
		s.data.Write(p[written : written+room])
		written += room
		s.cond.Broadcast()
		if written == len(p) {
			return written, nil
		}
		s.cond.Wait()
	}
}

func (s *stream) end()     { s.update(func() { s.ended = true }) }
func (s *stream) abandon() { s.update(func() { s.abandoned = true }) }

func (s *stream) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.cond.Broadcast()
}

func (s *stream) setDeadline(d *deadline, t time.Time) error {
	s.update(func() {
		if d.timer != nil {
			d.timer.Stop()
		}
		d.at, d.timer = t, nil
		if !t.IsZero() {
			d.timer = time.AfterFunc(time.Until(t), func() { s.update(func() {}) })
		}
	})
	return nil
}
