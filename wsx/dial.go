package wsx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// dial opens the TCP connection and upgrades it. When ctx ends, the connection
// is closed, whatever it is waiting for, until unwatch of the link is called.
func dial(ctx context.Context, cfg *Config, counts *traffic) (*websocket.Conn, *timeoutConn, error) {
	var link *timeoutConn
	dialer := websocket.Dialer{
		NetDialContext: func(dialCtx context.Context, network, addr string) (net.Conn, error) {
			conn, err := cfg.Dial(dialCtx, network, addr)
			if err != nil {
				return nil, err
			}
			link = &timeoutConn{Conn: conn, traffic: counts, writeTimeout: cfg.Timeout}
			link.ahead.disabled = cfg.Persist != nil
			link.readTimeout.Store(int64(readTimeout(cfg)))
			link.stopDialCancel = context.AfterFunc(ctx, func() { _ = conn.Close() })
			return link, nil
		},
		TLSClientConfig: cfg.TLS,
		ReadBufferSize:  readBufferSize(cfg),
		WriteBufferSize: writeBufferSize,
		WriteBufferPool: &writeBufferPool,
	}
	if cfg.ProxyURL != nil {
		dialer.Proxy = http.ProxyURL(cfg.ProxyURL)
	}
	conn, resp, err := dialer.DialContext(ctx, cfg.Address, cfg.Headers)
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close() //nolint:errcheck // nothing is read from it
	}
	if err != nil {
		if link != nil {
			link.stopDialCancel()
		}
		return nil, nil, explainDial(err, resp)
	}
	conn.SetReadLimit(cfg.MaxMessageSize)
	return conn, link, nil
}

// writeBufferSize is the size of most requests at most, in bytes.
const writeBufferSize = 4 << 10

// writeBufferPool has the buffers of the connections that write at this moment.
var writeBufferPool sync.Pool //nolint:gochecknoglobals // it is there to be shared

// readBufferSize is that of the WebSocket library, in bytes, and a good part of what an
// idle connection takes. Where frames are kept it is shorter than any frame of messages,
// so that none is read along with the one before it, when it cannot be kept yet; for the
// same reason nothing is read ahead then.
func readBufferSize(cfg *Config) int {
	if cfg.Persist != nil {
		return 125
	}
	return 1 << 10
}

// explainDial says what to look at when the connection could not be opened.
func explainDial(err error, resp *http.Response) error {
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &notTLS):
		return fmt.Errorf("opening the connection: the server does not speak TLS on this port: "+
			"use ws:// or the TLS port: %w", err)
	case errors.Is(err, websocket.ErrBadHandshake) && resp != nil:
		return &UpgradeError{Status: resp.StatusCode}
	}
	return fmt.Errorf("opening the connection: %w", err)
}

// UpgradeError says that an HTTP server answered, and refused the upgrade to a
// WebSocket.
type UpgradeError struct {
	// Status is the HTTP status.
	Status int
}

// Error names the status and what to check.
func (e *UpgradeError) Error() string {
	hint := "is there a WebSocket channel at this address?"
	if e.Status == http.StatusNotFound {
		hint = "no WebSocket channel has the path of this address"
	}
	return fmt.Sprintf("opening the connection: HTTP %d %s: %s", e.Status, http.StatusText(e.Status), hint)
}

// readTimeout is how long a link may be without any traffic. A server pings
// every 30 or 45 seconds even while a service of ours runs and our own pings
// wait unread; a miss costs it five more (docs/protocol.md, "Keep-alive").
func readTimeout(cfg *Config) time.Duration {
	return 2*cfg.PingInterval + 15*time.Second
}

// timeoutConn fails a read on which nothing came for the silence limit and a
// write that made no progress for the write limit. Both start anew with every
// piece, so that large frames on slow links pass. A deadline that is nearly right is left
// alone, for setting one costs a good part of what reading a small frame does.
type timeoutConn struct {
	net.Conn

	traffic       *traffic
	ahead         readAhead
	readTimeout   atomic.Int64 // nanoseconds
	readDeadline  atomic.Int64 // the deadline that is set, Unix time in nanoseconds
	writeTimeout  time.Duration
	writeDeadline time.Time
	// stopDialCancel ends the rule that the connection is closed when the attempt to
	// open it took too long. It returns false when that has happened.
	stopDialCancel func() bool
}

// deadlineSlack is by how much a deadline may be early.
func deadlineSlack(limit time.Duration) time.Duration { return min(time.Second, limit/8) }

// lowerReadTimeout lowers the silence limit, also for a read that is under way.
func (c *timeoutConn) lowerReadTimeout(limit time.Duration) {
	c.readTimeout.Store(int64(limit))
	_ = c.extendReadDeadline(limit) // a closed connection needs none
}

// extendReadDeadline sets the deadline of reads, once more where the limit has changed meanwhile.
func (c *timeoutConn) extendReadDeadline(limit time.Duration) error {
	for {
		by := time.Now().Add(limit)
		c.readDeadline.Store(by.UnixNano())
		err := c.Conn.SetReadDeadline(by)
		now := time.Duration(c.readTimeout.Load())
		if err != nil || now == limit {
			return err
		}
		limit = now
	}
}

// Read reads whatever is there.
func (c *timeoutConn) Read(p []byte) (int, error) {
	if n := c.ahead.read(p); n > 0 {
		return n, nil
	}
	limit := time.Duration(c.readTimeout.Load())
	if time.Now().Add(limit-deadlineSlack(limit)).UnixNano() > c.readDeadline.Load() {
		if err := c.extendReadDeadline(limit); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(c.ahead.buffer(p))
	if n > 0 {
		c.traffic.bytesIn.Add(int64(n))
		c.traffic.lastRead.Store(time.Now().UnixNano())
	}
	return c.ahead.commit(p, n), err
}

// SetDeadline, SetReadDeadline and SetWriteDeadline do nothing, for the deadlines are
// set by Read and Write. The WebSocket library takes them away at the end of the
// handshake and in front of every frame.
func (*timeoutConn) SetDeadline(time.Time) error      { return nil }
func (*timeoutConn) SetReadDeadline(time.Time) error  { return nil }
func (*timeoutConn) SetWriteDeadline(time.Time) error { return nil }

// writeChunk is how much must pass within the write limit, in bytes.
const writeChunk = 64 << 10

// Write writes all of p, a piece at a time. Only one goroutine may be in it.
func (c *timeoutConn) Write(p []byte) (int, error) {
	written := 0
	for {
		piece := p[written:min(len(p), written+writeChunk)]
		if by := time.Now().Add(c.writeTimeout); by.Add(-deadlineSlack(c.writeTimeout)).After(c.writeDeadline) {
			c.writeDeadline = by
			if err := c.Conn.SetWriteDeadline(c.writeDeadline); err != nil {
				return written, err
			}
		}
		n, err := c.Conn.Write(piece)
		written += n
		c.traffic.bytesOut.Add(int64(n))
		if err != nil || written == len(p) {
			return written, err
		}
	}
}
