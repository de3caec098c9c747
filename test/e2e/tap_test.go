//go:build unix

package e2e_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/internal/testkit/tapproxy"
)

// tapProxy stands between the binary and a server and knows which message each byte of
// the stream to the binary belongs to.
type tapProxy struct {
	t          *testing.T
	listener   net.Listener
	server     string
	goroutines sync.WaitGroup

	// mu guards links; nothing waits under it.
	mu    sync.Mutex
	links []*link
}

// link is a connection through the tap.
type link struct {
	binary, server *net.TCPConn
	forwarding     chan struct{} // closed when nothing more is written to the binary

	// These belong to the forwarding, and to others once that has ended.
	written int64
	frames  []frame
}

// frame is a frame with messages that was written to the socket of the binary.
type frame struct {
	ids []string
	end int64     // where it ends in the stream
	at  time.Time // when the last of it was written
}

func newTapProxy(t *testing.T, server string) *tapProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &tapProxy{t: t, listener: listener, server: server}
	p.goroutines.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close() // it was only listened at
		p.closeLinks()
		p.goroutines.Wait()
	})
	return p
}

func (p *tapProxy) address() string { return p.listener.Addr().String() }

func (p *tapProxy) accept() {
	for {
		accepted, err := p.listener.Accept()
		if err != nil {
			return
		}
		dialed, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = accepted.Close() // the binary will try again
			continue
		}
		l := &link{
			binary: accepted.(*net.TCPConn), server: dialed.(*net.TCPConn), //nolint:forcetypeassert // both are TCP
			forwarding: make(chan struct{}),
		}
		p.mu.Lock()
		p.links = append(p.links, l)
		p.mu.Unlock()
		p.goroutines.Go(l.forward)
		p.goroutines.Go(func() { _, _ = io.Copy(l.server, l.binary) }) // either end may go
	}
}

// openLinks returns the connections since the last cut.
func (p *tapProxy) openLinks() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.links
}

// closeLinks ends all connections, as the end of the binary does.
func (p *tapProxy) closeLinks() {
	p.mu.Lock()
	links := p.links
	p.links = nil
	p.mu.Unlock()
	for _, l := range links {
		l.reset()
		_ = l.binary.Close() // whoever is there
		<-l.forwarding
	}
}

// reset ends the connection to the server as the end of the binary does: what the
// server has sent is gone.
func (l *link) reset() {
	_ = l.server.SetLinger(0)
	_ = l.server.Close() // it may be closed
}

// forward writes what comes from the server to the binary, frame by frame.
func (l *link) forward() {
	defer close(l.forwarding)
	in := bufio.NewReaderSize(l.server, 64<<10)
	for upgraded := false; !upgraded; { // the HTTP response ends with an empty line
		text, err := in.ReadString('\n')
		if err != nil || l.write([]byte(text)) != nil {
			return
		}
		upgraded = text == "\r\n"
	}
	for {
		raw, err := tapproxy.ReadFrame(in)
		if err != nil || l.write(raw) != nil {
			return
		}
		if ids := tapproxy.MessageIDs(raw); len(ids) > 0 {
			l.frames = append(l.frames, frame{ids, l.written, time.Now()})
		}
	}
}

func (l *link) write(b []byte) error {
	n, err := l.binary.Write(b)
	l.written += int64(n)
	return err
}

// readFrames returns the frames that the binary, which is frozen, has read wholly, and
// the number of bytes that it has not read. It ends the connection to the server,
// which would go on writing.
func (l *link) readFrames(t *testing.T) (read []frame, unread int64) {
	t.Helper()
	now := time.Now()
	require.NoError(t, l.server.SetReadDeadline(now))
	require.NoError(t, l.binary.SetWriteDeadline(now))
	<-l.forwarding
	l.reset()
	unread = l.unreadBytes(t)
	for _, f := range l.frames {
		if f.end <= l.written-unread {
			read = append(read, f)
		}
	}
	return read, unread
}

// maxAckDelay is longer than a system waits before it acknowledges what came.
const maxAckDelay = 250 * time.Millisecond

// unreadBytes counts the bytes in the kernel between the tap and the binary: those that
// were not sent, as its buffer is full, and those in the buffer. What was sent and is
// not acknowledged counts as both, so it is waited for.
func (l *link) unreadBytes(t *testing.T) int64 {
	t.Helper()
	proxyPort, binaryPort := tcpPort(l.binary.LocalAddr()), tcpPort(l.binary.RemoteAddr())
	unsent, since := int64(-1), time.Now()
	require.Eventually(t, func() bool {
		n, _ := socketQueues(t, proxyPort, binaryPort)
		if n != unsent {
			unsent, since = n, time.Now()
		}
		return unsent == 0 || time.Since(since) > maxAckDelay
	}, streamtest.Limit, time.Millisecond, "the kernel is not done")
	_, received := socketQueues(t, binaryPort, proxyPort)
	return unsent + received
}

func tcpPort(a net.Addr) int { return a.(*net.TCPAddr).Port } //nolint:forcetypeassert // all are TCP

// socketQueues returns how many bytes of a connection, named by its ports, wait to be
// sent or acknowledged and to be read at one end.
func socketQueues(t *testing.T, local, remote int) (sending, received int64) {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	require.NoError(t, err)
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line) // number, local, remote, state, queues
		if parsePort(fields[1]) != local || parsePort(fields[2]) != remote {
			continue
		}
		out, in, _ := strings.Cut(fields[4], ":")
		return parseHex(t, out), parseHex(t, in)
	}
	return 0, 0 // the other end has closed it
}

// parsePort reads the port of an address in the table of the kernel.
func parsePort(address string) int {
	_, text, _ := strings.Cut(address, ":")
	n, err := strconv.ParseInt(text, 16, 32)
	if err != nil {
		return -1 // the head of the table
	}
	return int(n)
}

func parseHex(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 16, 64)
	require.NoError(t, err)
	return n
}
