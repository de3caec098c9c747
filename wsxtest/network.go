package wsxtest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Network is an in-memory network. Its connections buffer 64 KiB in each direction
// and support deadlines. It is safe for concurrent use.
type Network struct {
	ports atomic.Int64

	// mu guards listeners. Nothing blocks while holding it.
	mu        sync.Mutex
	listeners map[string]*memoryListener
}

// NewNetwork returns a network without listeners.
func NewNetwork() *Network {
	return &Network{listeners: map[string]*memoryListener{}}
}

// Listen listens as a host. A port in the address is ignored. It is an error if the
// host has a listener already.
func (n *Network) Listen(addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	host := hostname(addr)
	if _, taken := n.listeners[host]; taken {
		return nil, &net.OpError{Op: "listen", Net: "memory", Addr: memoryAddr(host), Err: syscall.EADDRINUSE}
	}
	l := &memoryListener{
		network: n, host: host,
		incoming: make(chan net.Conn), closed: make(chan struct{}),
	}
	n.listeners[host] = l
	return l, nil
}

// Dial connects to a host. A port in the address is ignored. The error is a refused
// connection if the host has no listener. Dial has the signature of
// net.Dialer.DialContext.
func (n *Network) Dial(ctx context.Context, _, addr string) (net.Conn, error) {
	host := hostname(addr)
	refused := &net.OpError{Op: "dial", Net: "memory", Addr: memoryAddr(host), Err: syscall.ECONNREFUSED}
	n.mu.Lock()
	l := n.listeners[host]
	n.mu.Unlock()
	if l == nil {
		return nil, refused
	}
	local := memoryAddr(fmt.Sprintf("127.0.0.1:%d", 40000+n.ports.Add(1)))
	up, down := newPipe(), newPipe()
	client := &memoryConn{in: down, out: up, local: local, remote: memoryAddr(host)}
	server := &memoryConn{in: up, out: down, local: memoryAddr(host), remote: local}
	select {
	case l.incoming <- server:
		return client, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func hostname(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

type memoryListener struct {
	network  *Network
	host     string
	incoming chan net.Conn
	closing  sync.Once
	closed   chan struct{}
}

// Accept waits for a connection.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.incoming:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close closes the listener. Accepted connections stay open.
func (l *memoryListener) Close() error {
	l.closing.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, l.host)
		l.network.mu.Unlock()
		close(l.closed)
	})
	return nil
}

// Addr returns the host.
func (l *memoryListener) Addr() net.Addr {
	return memoryAddr(l.host)
}

type memoryAddr string

// Network returns "memory".
func (memoryAddr) Network() string { return "memory" }

// String returns the address.
func (a memoryAddr) String() string { return string(a) }

type memoryConn struct {
	in, out       *pipe
	local, remote memoryAddr
}

// Read reads buffered bytes, or waits for some.
func (c *memoryConn) Read(b []byte) (int, error) { return c.in.read(b) }

// Write writes all of b. It blocks while the buffer is full.
func (c *memoryConn) Write(b []byte) (int, error) { return c.out.write(b) }

// Close closes both directions. The peer can still read the buffered bytes.
func (c *memoryConn) Close() error {
	c.in.close()
	c.out.close()
	return nil
}

// CloseWrite closes one direction. The peer can still read the buffered bytes, and write.
func (c *memoryConn) CloseWrite() error {
	c.out.close()
	return nil
}

// LocalAddr returns this end's address.
func (c *memoryConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the peer's address.
func (c *memoryConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets the read and the write deadline.
func (c *memoryConn) SetDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	c.out.setWriteDeadline(t)
	return nil
}

// SetReadDeadline sets the deadline for reads, including a blocked one.
func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	return nil
}

// SetWriteDeadline sets the deadline for writes, including a blocked one.
func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	c.out.setWriteDeadline(t)
	return nil
}
