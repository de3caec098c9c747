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
	listener net.Listener
	running  sync.WaitGroup

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
	tap.running.Go(tap.accept)
	t.Cleanup(func() {
		_ = listener.Close() // it was only listened at
		tap.running.Wait()
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
		l := &link{
			client: client.(*net.TCPConn), server: server.(*net.TCPConn), //nolint:forcetypeassert // both are TCP
			left: make(chan struct{}),
		}
		t.running.Go(func() { t.forward(l) })
		t.running.Go(l.back)
	}
}

// link is one connection through the tap.
type link struct {
	client, server *net.TCPConn
	left           chan struct{} // closed when the client has closed its end, at leftAt
	leftAt         time.Time
}

// back writes what comes from the client to the server. It reads to the end in any
// case: closing a socket with something unread would reset the connection, and what
// is on its way to the client would be lost.
func (l *link) back() {
	_, _ = io.Copy(l.server, l.client)
	_ = l.server.CloseWrite()
	_, _ = io.Copy(io.Discard, l.client)
	l.leftAt = time.Now()
	close(l.left)
	_ = l.server.Close()
	_ = l.client.Close()
}

// unsure is how long it may take until it is seen that a client has closed its end;
// what was written to it meanwhile may or may not have been read.
const unsure = 50 * time.Millisecond

// written are the messages of a frame that was forwarded.
type written struct {
	ids []string
	at  time.Time
}

// forward writes what comes from the server to the client, and enters what was
// handed over once that is sure.
func (t *Tap) forward(l *link) {
	in := bufio.NewReaderSize(io.TeeReader(l.server, l.client), 64<<10)
	var recent []written
	err := SkipUpgrade(in)
	for err == nil {
		var frame []byte
		if frame, err = ReadFrame(in); err == nil {
			w := written{MessageIDs(frame), time.Now()}
			t.enter(w, 1)
			recent = t.settle(l, append(recent, w))
		}
	}
	select {
	case <-l.left: // the client went first
	case <-time.After(unsure):
		_ = l.client.CloseWrite()
	}
	for _, w := range t.settle(l, recent) {
		t.enter(w, -1)
	}
}

// settle enters what is known to have been written to an open socket and returns the
// rest.
func (t *Tap) settle(l *link, recent []written) []written {
	known := time.Now()
	select {
	case <-l.left:
		known = l.leftAt
	default:
	}
	for len(recent) > 0 && known.Sub(recent[0].at) >= unsure {
		t.deliver(recent[0])
		recent = recent[1:]
	}
	return recent
}

// enter counts messages as pending, or not any more.
func (t *Tap) enter(w written, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range w.ids {
		t.pending[id] += n
	}
}

// deliver enters what was handed over.
func (t *Tap) deliver(w written) {
	t.mu.Lock()
	for _, id := range w.ids {
		t.delivered[id] = true
	}
	t.mu.Unlock()
	t.enter(w, -1)
}
