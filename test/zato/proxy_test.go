//go:build unix

package zato_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy forwards connections to a server, and breaks them on demand. Its methods are safe for concurrent use.
type proxy struct {
	listener   net.Listener
	server     string
	goroutines sync.WaitGroup
	closed     chan struct{}
	losing     atomic.Bool // set by loseResponse

	// mu guards links. Nothing blocks while holding it.
	mu    sync.Mutex
	links map[*link]bool
}

// link is a connection of a client, and the one to the server that belongs to it.
type link struct {
	client, server *net.TCPConn
	held           chan struct{} // closed by hangUp
}

// newProxy starts a proxy in front of a server. It is closed when the test ends.
func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: listener, server: server, closed: make(chan struct{}), links: map[*link]bool{}}
	p.goroutines.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close() // ends accept
		close(p.closed)
		p.reset()
		p.goroutines.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close() // the client sees a lost connection
			continue
		}
		l := &link{client: client.(*net.TCPConn), server: server.(*net.TCPConn), held: make(chan struct{})}
		p.goroutines.Go(func() { p.forward(l) })
	}
}

// forward copies bytes in both directions until both ends are closed.
func (p *proxy) forward(l *link) {
	p.mu.Lock()
	p.links[l] = true
	p.mu.Unlock()
	var toClient sync.WaitGroup
	toClient.Go(func() {
		_, _ = io.Copy(responses{l.client, p}, l.server) // every error is the end of the connection
		_ = l.client.CloseWrite()                        // it may be closed already
	})
	_, _ = io.Copy(l.server, l.client) // every error is the end of the connection
	select {
	case <-l.held:
		<-p.closed
	default:
		_ = l.server.CloseWrite() // it may be closed already
	}
	toClient.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
	_, _ = l.client.Close(), l.server.Close() // reset may have closed them
}

// responses is where a proxy writes what a client gets.
type responses struct {
	client *net.TCPConn
	proxy  *proxy
}

func (r responses) Write(data []byte) (int, error) {
	if r.proxy.losing.CompareAndSwap(true, false) {
		r.proxy.reset()
	}
	return r.client.Write(data)
}

// loseResponse resets all connections as soon as the server writes to one of them.
func (p *proxy) loseResponse() { p.losing.Store(true) }

// reset resets all connections at both ends. Bytes on their way are lost.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		for _, conn := range []*net.TCPConn{l.client, l.server} {
			_ = conn.SetLinger(0) // it may be closed already
			_ = conn.Close()
		}
	}
}

// hangUp closes all connections of clients. Those to the server stay open until the proxy is closed, and nobody answers
// the server's pings on them.
func (p *proxy) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		select {
		case <-l.held: // before
		default:
			close(l.held)
			_ = l.client.Close()
		}
	}
}
