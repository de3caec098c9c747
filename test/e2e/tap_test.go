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

// tapProxy is a proxy between the binary and a server. It records the position of each
// message in the stream to the binary.
type tapProxy struct {
	t          *testing.T
	listener   net.Listener
	server     string
	goroutines sync.WaitGroup

	// mu guards links. Nothing blocks while holding it.
	mu    sync.Mutex
	links []*link
}

// link is a connection through the proxy.
type link struct {
	binary, server *net.TCPConn
	forwarding     chan struct{} // closed when nothing more is written to the binary

	// Only forward may use these fields until forwarding is closed.
	written int64
	frames  []frame
}

// frame is a frame with messages that was written to the socket of the binary.
type frame struct {
	ids []string
	end int64     // the position of its end in the stream
	at  time.Time // when its last byte was written
}

func newTapProxy(t *testing.T, server string) *tapProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &tapProxy{t: t, listener: listener, server: server}
	p.goroutines.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close() // ends accept
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
			_ = accepted.Close() // the binary will retry
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
		p.goroutines.Go(func() { _, _ = io.Copy(l.server, l.binary) }) // either end may close first
	}
}

// openLinks returns the connections since the last call of closeLinks.
func (p *tapProxy) openLinks() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.links
}

// closeLinks closes all connections, as the exit of the binary does.
func (p *tapProxy) closeLinks() {
	p.mu.Lock()
	links := p.links
	p.links = nil
	p.mu.Unlock()
	for _, l := range links {
		l.reset()
		_ = l.binary.Close() // the binary may have closed it first
		<-l.forwarding
	}
}

// reset resets the connection to the server, as the exit of the binary does. Bytes on
// their way to the proxy are lost.
func (l *link) reset() {
	_ = l.server.SetLinger(0)
	_ = l.server.Close() // may be closed already
}

// forward copies the stream of the server to the binary, frame by frame.
func (l *link) forward() {
	defer close(l.forwarding)
	in := bufio.NewReaderSize(l.server, 64<<10)
	for upgraded := false; !upgraded; { // an empty line ends the HTTP response
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

// readFrames returns the frames that the binary has read completely, and the number of
// bytes that it has not read. The binary must be suspended. readFrames closes the
// connection to the server, which would otherwise continue to write.
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

// maxAckDelay is longer than the kernel delays the acknowledgment of received bytes.
const maxAckDelay = 250 * time.Millisecond

// unreadBytes returns the number of bytes in the kernel between the proxy and the binary:
// those that were not sent because the receive buffer of the binary is full, and those
// in that buffer. Bytes that were sent but not acknowledged are in both numbers, so
// unreadBytes first waits until all are acknowledged. No event marks that moment: the
// number of unsent bytes just stays the same.
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
	}, streamtest.Timeout, time.Millisecond, "the kernel still sends")
	_, received := socketQueues(t, binaryPort, proxyPort)
	return unsent + received
}

func tcpPort(a net.Addr) int { return a.(*net.TCPAddr).Port } //nolint:forcetypeassert // all are TCP

// socketQueues returns the lengths of the queues of one end of a connection: bytes that
// are not sent or not acknowledged, and bytes that are not read. The ports identify the
// connection.
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
	return 0, 0 // the connection is closed
}

// parsePort returns the port of an address in /proc/net/tcp.
func parsePort(address string) int {
	_, text, _ := strings.Cut(address, ":")
	n, err := strconv.ParseInt(text, 16, 32)
	if err != nil {
		return -1 // the heading of the table
	}
	return int(n)
}

func parseHex(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 16, 64)
	require.NoError(t, err)
	return n
}
