package wsx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestCloseFrameNamesTheClient(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		start := time.Now()
		require.NoError(t, c.Close())
		assert.Zero(t, time.Since(start), "the server answered the close frame at once")
		require.Len(t, s.CloseFrames(), 1)
		assert.Equal(t, 1000, s.CloseFrames()[0].Code)
		assert.Equal(t, "Client disconnecting id:'client.a' name:'My a'", s.CloseFrames()[0].Reason)
		require.NoError(t, c.Close(), "twice")
		_, err := c.Invoke(t.Context(), "zato.ping", nil)
		require.ErrorIs(t, err, wsx.ErrClosed)
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		state, _ := c.State()
		assert.Equal(t, wsx.Stopped, state)
	})
}

func TestCloseReasonIsCutAtARune(t *testing.T) {
	for _, name := range []string{
		strings.Repeat("x", 200), strings.Repeat("ż", 100), strings.Repeat("😀", 50), "x" + strings.Repeat("😀", 50),
	} {
		withServer(t, func(s *testServer) {
			t := s.t
			c := s.connect(patchedPath, func(cfg *wsx.Config) { cfg.ClientName = name })
			require.NoError(t, c.Close())
			reason := s.CloseFrames()[0].Reason
			assert.LessOrEqual(t, len(reason), 123)
			assert.Greater(t, len(reason), 119)
			assert.True(t, utf8.ValidString(reason), reason)
		})
	}
}

func TestCloseReturnsWithinTwoSecondsInEveryState(t *testing.T) {
	for name, c := range map[string]struct {
		state   wsx.State
		prepare func(*testServer) *wsx.Client
	}{
		"dialing": {wsx.Dialing, func(s *testServer) *wsx.Client {
			return s.newClient(patchedPath, func(cfg *wsx.Config) {
				cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			})
		}},
		"upgrading": {wsx.Dialing, func(s *testServer) *wsx.Client {
			s.Freeze(time.Hour)
			return s.newClient(patchedPath)
		}},
		"logging in": {wsx.LoggingIn, func(s *testServer) *wsx.Client {
			return s.newClient(patchedPath, func(cfg *wsx.Config) {
				cfg.OnState = func(state wsx.State, _ error) {
					if state == wsx.LoggingIn {
						s.Freeze(time.Hour)
					}
				}
			})
		}},
		"resubscribing": {wsx.Resubscribing, func(s *testServer) *wsx.Client {
			c := s.connectAndSubscribe()
			advance(2 * time.Second) // so that the client reconnects at once
			s.DropResponses(-1)
			s.Cut()
			return c
		}},
		"waiting": {wsx.Waiting, func(s *testServer) *wsx.Client {
			s.RefuseLogins(-1)
			return s.newClient(patchedPath)
		}},
		"ready": {wsx.Ready, func(s *testServer) *wsx.Client {
			return s.connect(patchedPath)
		}},
		"ready, server frozen": {wsx.Ready, func(s *testServer) *wsx.Client {
			c := s.connect(patchedPath)
			s.Freeze(time.Hour)
			return c
		}},
		"ready, inbox full": {wsx.Ready, func(s *testServer) *wsx.Client {
			c := s.connectAndSubscribe()
			s.publishTexts(texts("text", 5)...)
			return c
		}},
		"draining, inbox full": {wsx.Draining, func(s *testServer) *wsx.Client {
			c := s.connectAndSubscribe()
			s.SendRaw([]byte("invalid"), messagesFrame(0, 1, 0), messagesFrame(1, 1, 0))
			return c
		}},
		"after a disconnect": {wsx.Waiting, func(s *testServer) *wsx.Client {
			c := s.connect(patchedPath)
			s.Disconnect(4005, "bye")
			return c
		}},
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(s *testServer) {
				t := s.t
				client := c.prepare(s)
				result := make(chan error, 1)
				go func() { result <- client.AwaitReady(t.Context()) }()
				synctest.Wait()
				state, _ := client.State()
				assert.Equal(t, c.state, state)
				start := time.Now()
				require.NoError(t, client.Close())
				assert.Less(t, time.Since(start), 2*time.Second)
				s.Freeze(0)
				if err := <-result; err != nil && !errors.Is(err, wsx.ErrLoginRefused) {
					require.ErrorIs(t, err, wsx.ErrClosed)
				}
			})
		})
	}
}

// blockedConn is a connection whose writes block, as if the send buffer were full, once
// blocked is set.
type blockedConn struct {
	net.Conn

	blocked *atomic.Bool
	full    net.Conn // a pipe that is never read
}

// Write writes p unless it blocks.
func (c blockedConn) Write(p []byte) (int, error) {
	if c.blocked.Load() {
		return c.full.Write(p)
	}
	return c.Conn.Write(p)
}

// SetWriteDeadline also applies to writes that block.
func (c blockedConn) SetWriteDeadline(t time.Time) error {
	return errors.Join(c.Conn.SetWriteDeadline(t), c.full.SetWriteDeadline(t))
}

// Close also ends writes that block.
func (c blockedConn) Close() error {
	return errors.Join(c.Conn.Close(), c.full.Close())
}

// blockWrites lets the writes of a client block once blocked is set.
func blockWrites(blocked *atomic.Bool) func(*wsx.Config) {
	return func(cfg *wsx.Config) {
		dial := cfg.Dial
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			full, _ := net.Pipe()
			return blockedConn{conn, blocked, full}, err
		}
	}
}

func TestCloseReturnsWithinTwoSecondsWhileWritesBlock(t *testing.T) {
	serverTLS, roots := certificate(t)
	invoke := func(c *wsx.Client, request any) {
		go func() { _, _ = c.Invoke(context.Background(), "my.echo", request) }()
	}
	for name, use := range map[string]func(*wsx.Client){
		"nothing to write": func(*wsx.Client) {},
		"small frame":      func(c *wsx.Client) { invoke(c, 1) },
		"large frame":      func(c *wsx.Client) { invoke(c, strings.Repeat("x", 1<<20)) },
		"ping due":         func(*wsx.Client) { advance(time.Second) },
		"large frame and pings due": func(c *wsx.Client) {
			invoke(c, strings.Repeat("x", 1<<20))
			synctest.Wait()
			advance(5 * time.Second)
		},
		"write timed out": func(c *wsx.Client) {
			invoke(c, 1)
			advance(10 * time.Second)
		},
	} {
		for scheme, opts := range map[string][]wsxtest.Option{"ws": nil, "wss": {wsxtest.WithTLS(serverTLS)}} {
			t.Run(name+"/"+scheme, func(t *testing.T) {
				withServer(t, func(s *testServer) {
					var blocked atomic.Bool
					c := s.connect(patchedPath, func(cfg *wsx.Config) {
						if scheme == "wss" {
							cfg.TLS = &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}
						}
						cfg.PingInterval = time.Second
						blockWrites(&blocked)(cfg)
					})
					blocked.Store(true)
					s.Freeze(time.Hour)
					use(c)
					synctest.Wait()
					start := time.Now()
					require.NoError(t, c.Close())
					assert.LessOrEqual(t, time.Since(start), 2*time.Second)
					s.Freeze(0)
				}, opts...)
			})
		}
	}
}
