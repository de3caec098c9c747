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

// Tap is a proxy in front of a server. However the server ends a connection, the
// client can read all forwarded bytes and then the end of the stream. Its methods
// are safe for concurrent use.
type Tap struct {
	listener   net.Listener
	goroutines sync.WaitGroup

	// mu guards the fields below. Nothing blocks while holding it.
	mu        sync.Mutex
	server    string
	delivered map[string]bool
	// pending counts, for each message, the writes to a client's socket that the
	// client may or may not have been able to read.
	pending map[string]int
}

// New starts a tap in front of a server. It is closed when the test ends.
func New(t *testing.T, server string) *Tap {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	tap := &Tap{listener: listener, server: server, delivered: map[string]bool{}, pending: map[string]int{}}
	tap.goroutines.Go(tap.accept)
	t.Cleanup(func() {
		_ = listener.Close() // ends accept
		tap.goroutines.Wait()
	})
	return tap
}

// Address returns the address for clients.
func (t *Tap) Address() string { return t.listener.Addr().String() }

// Redirect forwards future connections to another address.
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

// Delivered reports whether the whole message was written to the socket of a client
// that had not closed it.
func (t *Tap) Delivered(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.delivered[id]
}

// Pending reports whether the message was written to a client's socket so recently
// that the client may have closed it before.
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
		server, err := net.Dial("tcp", t.upstream()) //nolint:noctx // a loopback address: it does not block
		if err != nil {
			_ = client.Close() // the client sees a lost connection
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

// connection is a connection through the tap.
type connection struct {
	client, server *net.TCPConn
	clientClosed   chan struct{} // closed when the client has closed its end, at leftAt
	clientClosedAt time.Time
}

// forwardToServer copies bytes from the client to the server. It reads to the end of
// the stream even if the server is gone. Closing a socket with unread bytes would
// reset the connection, and bytes on their way to the client would be lost.
func (c *connection) forwardToServer() {
	_, _ = io.Copy(c.server, c.client)
	_ = c.server.CloseWrite()
	_, _ = io.Copy(io.Discard, c.client)
	c.clientClosedAt = time.Now()
	close(c.clientClosed)
	_ = c.server.Close()
	_ = c.client.Close()
}

// closeLag is how long the tap may need to notice that a client has closed its
// connection. The client may or may not have read a frame that was written meanwhile.
const closeLag = 50 * time.Millisecond

// forwardedFrame has the ids of the messages in a frame and the time of its write.
type forwardedFrame struct {
	ids []string
	at  time.Time
}

// forwardToClient copies frames from the server to the client. It marks their
// messages as delivered once it is certain that the client could read them.
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
	case <-c.clientClosed: // before the server
	case <-time.After(closeLag):
		_ = c.client.CloseWrite()
	}
	for _, f := range t.confirm(c, unconfirmed) {
		t.addPending(f, -1)
	}
}

// confirm marks the frames as delivered that were certainly written to an open
// socket. It returns the others.
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

// addPending adds n to the pending count of each message of a frame.
func (t *Tap) addPending(f forwardedFrame, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range f.ids {
		t.pending[id] += n
	}
}

// markDelivered moves the messages of a frame from pending to delivered.
func (t *Tap) markDelivered(f forwardedFrame) {
	t.mu.Lock()
	for _, id := range f.ids {
		t.delivered[id] = true
	}
	t.mu.Unlock()
	t.addPending(f, -1)
}
