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
func dial(ctx context.Context, cfg *Config, counts *traffic) (*websocket.Conn, *liveConn, error) {
	var link *liveConn
	dialer := websocket.Dialer{
		NetDialContext: func(dialCtx context.Context, network, addr string) (net.Conn, error) {
			conn, err := cfg.Dial(dialCtx, network, addr)
			if err != nil {
				return nil, err
			}
			link = &liveConn{Conn: conn, traffic: counts, writeLimit: cfg.Timeout}
			link.ahead.off = cfg.Keep != nil
			link.silence.Store(int64(silenceLimit(cfg)))
			link.unwatch = context.AfterFunc(ctx, func() { _ = conn.Close() })
			return link, nil
		},
		TLSClientConfig: cfg.TLS,
		ReadBufferSize:  readBufferSize(cfg),
		WriteBufferSize: writeBufferSize,
		WriteBufferPool: &writeBuffers,
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
			link.unwatch()
		}
		return nil, nil, explainDial(err, resp)
	}
	conn.SetReadLimit(cfg.MaxMessageSize)
	return conn, link, nil
}

// writeBufferSize is the size of most requests at most, in bytes.
const writeBufferSize = 4 << 10

// writeBuffers has the buffers of the connections that write at this moment.
var writeBuffers sync.Pool //nolint:gochecknoglobals // it is there to be shared

// readBufferSize is that of the WebSocket library, in bytes, and a good part of what an
// idle connection takes. Where frames are kept it is shorter than any frame of messages,
// so that none is read along with the one before it, when it cannot be kept yet; for the
// same reason nothing is read ahead then.
func readBufferSize(cfg *Config) int {
	if cfg.Keep != nil {
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

// silenceLimit is how long a link may be without any traffic. A server pings
// every 30 or 45 seconds even while a service of ours runs and our own pings
// wait unread; a miss costs it five more (docs/protocol.md, "Keep-alive").
func silenceLimit(cfg *Config) time.Duration {
	return 2*cfg.PingInterval + 15*time.Second
}

// liveConn fails a read on which nothing came for the silence limit and a
// write that made no progress for the write limit. Both start anew with every
// piece, so that large frames on slow links pass. A deadline that is nearly right is left
// alone, for setting one costs a good part of what reading a small frame does.
type liveConn struct {
	net.Conn

	traffic    *traffic
	ahead      readAhead
	silence    atomic.Int64 // nanoseconds
	readBy     atomic.Int64 // the deadline that is set, Unix time in nanoseconds
	writeLimit time.Duration
	writeBy    time.Time
	// unwatch ends the rule that the connection is closed when the attempt to
	// open it took too long. It returns false when that has happened.
	unwatch func() bool
}

// slack is by how much a deadline may be early.
func slack(limit time.Duration) time.Duration { return min(time.Second, limit/8) }

// hurry lowers the silence limit, also for a read that is under way.
func (c *liveConn) hurry(limit time.Duration) {
	c.silence.Store(int64(limit))
	_ = c.postpone(limit) // a closed connection needs none
}

// postpone sets the deadline of reads, once more where the limit has changed meanwhile.
func (c *liveConn) postpone(limit time.Duration) error {
	for {
		by := time.Now().Add(limit)
		c.readBy.Store(by.UnixNano())
		err := c.Conn.SetReadDeadline(by)
		now := time.Duration(c.silence.Load())
		if err != nil || now == limit {
			return err
		}
		limit = now
	}
}

// Read reads whatever is there.
func (c *liveConn) Read(p []byte) (int, error) {
	if n := c.ahead.take(p); n > 0 {
		return n, nil
	}
	limit := time.Duration(c.silence.Load())
	if time.Now().Add(limit-slack(limit)).UnixNano() > c.readBy.Load() {
		if err := c.postpone(limit); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(c.ahead.room(p))
	if n > 0 {
		c.traffic.bytesIn.Add(int64(n))
		c.traffic.lastRead.Store(time.Now().UnixNano())
	}
	return c.ahead.filled(p, n), err
}

// SetDeadline, SetReadDeadline and SetWriteDeadline do nothing, for the deadlines are
// set by Read and Write. The WebSocket library takes them away at the end of the
// handshake and in front of every frame.
func (*liveConn) SetDeadline(time.Time) error      { return nil }
func (*liveConn) SetReadDeadline(time.Time) error  { return nil }
func (*liveConn) SetWriteDeadline(time.Time) error { return nil }

// writePiece is how much must pass within the write limit, in bytes.
const writePiece = 64 << 10

// Write writes all of p, a piece at a time. Only one goroutine may be in it.
func (c *liveConn) Write(p []byte) (int, error) {
	written := 0
	for {
		piece := p[written:min(len(p), written+writePiece)]
		if by := time.Now().Add(c.writeLimit); by.Add(-slack(c.writeLimit)).After(c.writeBy) {
			c.writeBy = by
			if err := c.Conn.SetWriteDeadline(c.writeBy); err != nil {
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
