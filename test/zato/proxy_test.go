//go:build unix

package zato_test

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy forwards connections to a server, and resets them on demand. Its methods are safe for concurrent use.
type proxy struct {
	listener   net.Listener
	server     string
	goroutines sync.WaitGroup

	// mu guards conns. Nothing blocks while holding it.
	mu    sync.Mutex
	conns map[*net.TCPConn]bool
}

// newProxy starts a proxy in front of a server. It is closed when the test ends.
func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: listener, server: server, conns: map[*net.TCPConn]bool{}}
	p.goroutines.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close() // ends accept
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
		p.goroutines.Go(func() { p.forward(client.(*net.TCPConn), server.(*net.TCPConn)) })
	}
}

// forward copies bytes in both directions until both ends are closed.
func (p *proxy) forward(client, server *net.TCPConn) {
	p.add(client, server)
	var toClient sync.WaitGroup
	toClient.Go(func() { copyUntilEnd(client, server) })
	copyUntilEnd(server, client)
	toClient.Wait()
	p.remove(client, server)
	_, _ = client.Close(), server.Close() // reset may have closed them
}

// copyUntilEnd copies bytes until one end is closed, and then tells the other end.
func copyUntilEnd(to, from *net.TCPConn) {
	_, _ = io.Copy(to, from) // every error is the end of the connection
	_ = to.CloseWrite()      // it may be closed already
}

// reset resets all connections at both ends. Bytes on their way are lost.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.SetLinger(0) // it may be closed already
		_ = conn.Close()
	}
}

func (p *proxy) add(conns ...*net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.conns[conn] = true
	}
}

func (p *proxy) remove(conns ...*net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
	}
}
