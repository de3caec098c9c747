package tapproxy

import (
	"bufio"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Tap forwards connections of clients to a server. Whatever the server does, the
// client sees an orderly end of the stream behind all that was forwarded, so that
// what was handed over can be read.
type Tap struct {
	listener   net.Listener
	goroutines sync.WaitGroup

	// mu guards what follows; nothing waits under it.
	mu        sync.Mutex
	server    string
	delivered map[string]bool
	// pending counts how often a message was written of which it is not known yet
	// whether the client could read it.
	pending map[string]int
}

// New starts a tap in front of a server, until the test ends.
func New(t *testing.T, server string) *Tap {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	tap := &Tap{listener: listener, server: server, delivered: map[string]bool{}, pending: map[string]int{}}
	tap.goroutines.Go(tap.accept)
	t.Cleanup(func() {
		_ = listener.Close() // it was only listened at
		tap.goroutines.Wait()
	})
	return tap
}

// Address is where clients connect to.
func (t *Tap) Address() string { return t.listener.Addr().String() }

// Redirect sends connections to come to another address of the server.
func (t *Tap) Redirect(server string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.server = server
}

func (t *Tap) upstream() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.server
}

// Delivered tells of a message whether it was wholly written to a client's socket at a
// time when the client had not closed it.
func (t *Tap) Delivered(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.delivered[id]
}

// Pending tells of a message whether it was written to a client's socket and it is
// not known yet whether that was in time.
func (t *Tap) Pending(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pending[id] > 0
}

func (t *Tap) accept() {
	for {
		client, err := t.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", t.upstream()) //nolint:noctx // on this machine it does not wait
		if err != nil {
			_ = client.Close() // which tells it
			continue
		}
		c := &connection{
			client: client.(*net.TCPConn), server: server.(*net.TCPConn), //nolint:forcetypeassert // both are TCP
			clientClosed: make(chan struct{}),
		}
		t.goroutines.Go(func() { t.forwardToClient(c) })
		t.goroutines.Go(c.forwardToServer)
	}
}

// connection is one connection through the tap.
type connection struct {
	client, server *net.TCPConn
	clientClosed   chan struct{} // closed when the client has closed its end, at leftAt
	clientClosedAt time.Time
}

// forwardToServer writes what comes from the client to the server. It reads to the end in any
// case: closing a socket with something unread would reset the connection, and what
// is on its way to the client would be lost.
func (c *connection) forwardToServer() {
	_, _ = io.Copy(c.server, c.client)
	_ = c.server.CloseWrite()
	_, _ = io.Copy(io.Discard, c.client)
	c.clientClosedAt = time.Now()
	close(c.clientClosed)
	_ = c.server.Close()
	_ = c.client.Close()
}

// closeLag is how long it may take until it is seen that a client has closed its end;
// what was written to it meanwhile may or may not have been read.
const closeLag = 50 * time.Millisecond

// forwardedFrame are the messages of a frame that was forwarded.
type forwardedFrame struct {
	ids []string
	at  time.Time
}

// forwardToClient writes what comes from the server to the client, and enters what was
// handed over once that is sure.
func (t *Tap) forwardToClient(c *connection) {
	in := bufio.NewReaderSize(io.TeeReader(c.server, c.client), 64<<10)
	var unconfirmed []forwardedFrame
	err := SkipUpgrade(in)
	for err == nil {
		var frame []byte
		if frame, err = ReadFrame(in); err == nil {
			f := forwardedFrame{MessageIDs(frame), time.Now()}
			t.addPending(f, 1)
			unconfirmed = t.confirm(c, append(unconfirmed, f))
		}
	}
	select {
	case <-c.clientClosed: // the client went first
	case <-time.After(closeLag):
		_ = c.client.CloseWrite()
	}
	for _, f := range t.confirm(c, unconfirmed) {
		t.addPending(f, -1)
	}
}

// confirm enters what is known to have been written to an open socket and returns the
// rest.
func (t *Tap) confirm(c *connection, unconfirmed []forwardedFrame) []forwardedFrame {
	confirmedUntil := time.Now()
	select {
	case <-c.clientClosed:
		confirmedUntil = c.clientClosedAt
	default:
	}
	for len(unconfirmed) > 0 && confirmedUntil.Sub(unconfirmed[0].at) >= closeLag {
		t.markDelivered(unconfirmed[0])
		unconfirmed = unconfirmed[1:]
	}
	return unconfirmed
}

// addPending counts messages as pending, or not any more.
func (t *Tap) addPending(f forwardedFrame, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range f.ids {
		t.pending[id] += n
	}
}

// markDelivered enters what was handed over.
func (t *Tap) markDelivered(f forwardedFrame) {
	t.mu.Lock()
	for _, id := range f.ids {
		t.delivered[id] = true
	}
	t.mu.Unlock()
	t.addPending(f, -1)
}
