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

// dial opens the TCP connection and upgrades it. The end of ctx closes the connection
// until the caller calls detachDialContext of the returned timeoutConn.
func dial(ctx context.Context, cfg *Config, counts *traffic) (*websocket.Conn, *timeoutConn, error) {
	tlsConfig, err := loadTLS(cfg)
	if err != nil {
		return nil, nil, err
	}
	var conn *timeoutConn
	dialer := websocket.Dialer{
		NetDialContext: func(dialCtx context.Context, network, addr string) (net.Conn, error) {
			raw, err := cfg.Dial(dialCtx, network, addr)
			if err != nil {
				return nil, err
			}
			conn = &timeoutConn{Conn: raw, traffic: counts}
			conn.ahead.disabled = cfg.Persist != nil
			conn.readTimeout.Store(int64(readTimeout(cfg)))
			conn.writeTimeout.Store(int64(cfg.Timeout))
			conn.detachDialContext = context.AfterFunc(ctx, func() { _ = raw.Close() })
			return conn, nil
		},
		TLSClientConfig: tlsConfig,
		ReadBufferSize:  readBufferSize(cfg),
		WriteBufferSize: writeBufferSize,
		WriteBufferPool: &writeBufferPool,
	}
	if cfg.ProxyURL != nil {
		dialer.Proxy = http.ProxyURL(cfg.ProxyURL)
	}
	ws, resp, err := dialer.DialContext(ctx, cfg.Address, cfg.Headers)
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close() //nolint:errcheck // nothing is read from it
	}
	if err != nil {
		if conn != nil {
			conn.detachDialContext()
			if resp == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = fmt.Errorf("the TCP connection is open and nothing answers on it, "+
					"neither the server nor a proxy in front of it: %w", err)
			}
		}
		return nil, nil, explainDial(err, resp)
	}
	ws.SetReadLimit(cfg.MaxMessageSize)
	return ws, conn, nil
}

// writeBufferSize is the size of the write buffer, in bytes. Most requests fit into it.
const writeBufferSize = 4 << 10

// writeBufferPool holds the write buffers. A connection has one only while it writes.
var writeBufferPool sync.Pool //nolint:gochecknoglobals // it is there to be shared

// readBufferSize returns the size of the read buffer of the WebSocket library, in bytes.
// The buffer is a large part of the memory of an idle connection.
//
// With Config.Persist the buffer is smaller than any frame of messages. Otherwise it
// could hold the beginning of a frame that Persist has not got yet, and a crash would
// lose it. Read-ahead is off for the same reason.
func readBufferSize(cfg *Config) int {
	if cfg.Persist != nil {
		return 125
	}
	return 1 << 10
}

// explainDial says what to check after a failed attempt to open a connection.
func explainDial(err error, resp *http.Response) error {
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &notTLS):
		return fmt.Errorf("opening the connection: the server does not speak TLS on this port: "+
			"use ws:// or the TLS port: %w", err)
	case errors.Is(err, websocket.ErrBadHandshake) && resp != nil:
		return newUpgradeError(resp)
	}
	return fmt.Errorf("opening the connection: %w", err)
}

// readTimeout returns how long a connection may receive nothing. A server pings every
// 30 or 45 seconds even while it runs a service for the connection and leaves the
// client's pings unread. After a missed ping it waits five seconds more
// (docs/protocol.md, "Keep-alive").
func readTimeout(cfg *Config) time.Duration {
	return 2*cfg.PingInterval + 15*time.Second
}

// timeoutConn fails a read if nothing arrives for the read timeout, and a write if
// nothing goes out for the write timeout. Both start again with each chunk, so that a
// large frame may take longer. It sets a deadline only if the current one is far from
// right, because setting one costs a large part of what reading a small frame costs.
type timeoutConn struct {
	net.Conn

	traffic       *traffic
	ahead         readAhead
	readTimeout   atomic.Int64 // nanoseconds
	readDeadline  atomic.Int64 // the deadline that is set, Unix time in nanoseconds
	writeTimeout  atomic.Int64 // nanoseconds
	writeDeadline time.Time    // the deadline that is set
	// detachDialContext makes the connection outlive the context of dial. It returns false
	// if the context has ended, and so has closed the connection.
	detachDialContext func() bool
}

// deadlineSlack returns by how much a deadline may be too early.
func deadlineSlack(timeout time.Duration) time.Duration { return min(time.Second, timeout/8) }

// lowerReadTimeout lowers the read timeout, even of a read that is in progress.
func (c *timeoutConn) lowerReadTimeout(timeout time.Duration) {
	c.readTimeout.Store(int64(timeout))
	_ = c.extendReadDeadline(timeout) // a closed connection needs none
}

// setWriteTimeout sets the write timeout of the writes that begin from now on.
func (c *timeoutConn) setWriteTimeout(timeout time.Duration) {
	c.writeTimeout.Store(int64(timeout))
}

// extendReadDeadline sets the deadline of reads. It sets it again if another goroutine
// has lowered the timeout meanwhile.
func (c *timeoutConn) extendReadDeadline(timeout time.Duration) error {
	for {
		deadline := time.Now().Add(timeout)
		c.readDeadline.Store(deadline.UnixNano())
		err := c.Conn.SetReadDeadline(deadline)
		current := time.Duration(c.readTimeout.Load())
		if err != nil || current == timeout {
			return err
		}
		timeout = current
	}
}

// Read implements io.Reader.
func (c *timeoutConn) Read(p []byte) (int, error) {
	if n := c.ahead.read(p); n > 0 {
		return n, nil
	}
	timeout := time.Duration(c.readTimeout.Load())
	if time.Now().Add(timeout-deadlineSlack(timeout)).UnixNano() > c.readDeadline.Load() {
		if err := c.extendReadDeadline(timeout); err != nil {
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

// SetDeadline, SetReadDeadline and SetWriteDeadline do nothing because Read and Write
// set the deadlines. The WebSocket library would remove them after the handshake and
// before every frame.
func (*timeoutConn) SetDeadline(time.Time) error      { return nil }
func (*timeoutConn) SetReadDeadline(time.Time) error  { return nil }
func (*timeoutConn) SetWriteDeadline(time.Time) error { return nil }

// extendWriteDeadline sets the deadline of a write.
func (c *timeoutConn) extendWriteDeadline() error {
	timeout := time.Duration(c.writeTimeout.Load())
	latest := time.Now().Add(timeout)
	earliest := latest.Add(-deadlineSlack(timeout))
	if !c.writeDeadline.Before(earliest) && !c.writeDeadline.After(latest) {
		return nil
	}
	c.writeDeadline = latest
	return c.Conn.SetWriteDeadline(latest)
}

// writeChunk is the number of bytes that must go out within the write timeout.
const writeChunk = 64 << 10

// Write writes all of p, one chunk at a time. Only one goroutine may call it at a time.
func (c *timeoutConn) Write(p []byte) (int, error) {
	written := 0
	for {
		chunk := p[written:min(len(p), written+writeChunk)]
		if err := c.extendWriteDeadline(); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(chunk)
		written += n
		c.traffic.bytesOut.Add(int64(n))
		if err != nil || written == len(p) {
			return written, err
		}
	}
}
