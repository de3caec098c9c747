package wsx_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

const tooLarge = "the request is larger than the server or a proxy in front of it accepts: " +
	"the server closed the connection: 1009 too large"

func TestOnlyRequestOfAConnectionWasNotSentIfItIsTooLarge(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		go func() {
			synctest.Wait()
			s.Disconnect(1009, "too large")
		}()
		_, err := c.Invoke(withTimeout(t, time.Minute), "my.sleep", sleepRequest)
		require.EqualError(t, err, `invoking "my.sleep": `+tooLarge)
		require.ErrorIs(t, err, wsx.ErrRequestTooLarge)
		require.ErrorIs(t, err, wsx.ErrConnectionLost)
		assert.True(t, wsx.IsTooLarge(err))
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
	})
}

func TestNobodyKnowsWhichOfSeveralRequestsIsTooLarge(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath, func(cfg *wsx.Config) { cfg.CallsPerConnection = 2 })
		failed := make(chan error)
		for range 2 {
			go func() {
				_, err := c.Invoke(t.Context(), "my.sleep", sleepRequest)
				failed <- err
			}()
		}
		synctest.Wait()
		s.Disconnect(1009, "too large")
		for range 2 {
			err := <-failed
			require.NotErrorIs(t, err, wsx.ErrRequestTooLarge)
			assert.True(t, wsx.IsTooLarge(err))
			assert.Equal(t, wsx.MaybeSent, wsx.SendStatusOf(err))
		}
	})
}

// stuckConn writes nothing of a large frame. It calls onLarge, which returns the error of the
// write. What the server has sent meanwhile arrives after that.
type stuckConn struct {
	net.Conn

	onLarge  func(closed <-chan struct{}) error
	wasStuck atomic.Bool
	closed   chan struct{}
	close    sync.Once
}

func (c *stuckConn) Write(b []byte) (int, error) {
	if len(b) < 10_000 {
		return c.Conn.Write(b)
	}
	c.wasStuck.Store(true)
	return 0, c.onLarge(c.closed)
}

func (c *stuckConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.wasStuck.Load() {
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the time is virtual
	}
	return n, err
}

func (c *stuckConn) Close() error {
	c.close.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func TestRequestIsNotSentAgainIfItIsTooLargeBeforeItsEnd(t *testing.T) {
	for name, result := range map[string]func(closed <-chan struct{}) error{
		"the connection is open":  func(closed <-chan struct{}) error { <-closed; return net.ErrClosed },
		"the connection is reset": func(<-chan struct{}) error { return syscall.ECONNRESET },
	} {
		withServer(t, func(s *testServer) {
			t := s.t
			attempts := 0
			c := s.connect(patchedPath, func(cfg *wsx.Config) {
				cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := s.network.Dial(ctx, network, addr)
					onLarge := func(closed <-chan struct{}) error {
						attempts++
						s.Disconnect(1009, "too large")
						return result(closed)
					}
					return &stuckConn{Conn: conn, onLarge: onLarge, closed: make(chan struct{})}, err
				}
			})
			_, err := c.Invoke(withTimeout(t, time.Minute), "my.echo", strings.Repeat("x", 20_000))
			require.EqualError(t, err, `invoking "my.echo": `+tooLarge, name)
			assert.Equal(t, 1, attempts, name)
		})
	}
}
