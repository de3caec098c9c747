package wsx_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"strconv"
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

// testProxy is a proxy in front of the test server. While down, it answers every request
// itself. Otherwise clients reach the server.
type testProxy struct {
	server *testServer
	answer http.HandlerFunc
	down   atomic.Bool

	mu       sync.Mutex  // guards attempts
	attempts []time.Time // to connect while the proxy was down
}

// startProxy starts a proxy that is down.
func (s *testServer) startProxy(answer http.HandlerFunc) *testProxy {
	s.t.Helper()
	p := &testProxy{server: s, answer: answer}
	p.down.Store(true)
	listener, err := s.network.Listen("proxy")
	require.NoError(s.t, err)
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.answer(w, r) }),
		ReadHeaderTimeout: time.Minute,
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // it always returns an error
	}()
	s.t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return p
}

// use makes a client connect through the proxy.
func (p *testProxy) use(cfg *wsx.Config) {
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if p.down.Load() {
			p.mu.Lock()
			p.attempts = append(p.attempts, time.Now())
			p.mu.Unlock()
			addr = "proxy"
		}
		return p.server.network.Dial(ctx, network, addr)
	}
}

// countAttempts returns the number of attempts so far.
func (p *testProxy) countAttempts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.attempts)
}

// waits returns the times between attempts.
func (p *testProxy) waits() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []time.Duration
	for i := 1; i < len(p.attempts); i++ {
		out = append(out, p.attempts[i].Sub(p.attempts[i-1]))
	}
	return out
}

// answerStatus answers with a status and a header, given as name and value in turn.
func answerStatus(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	}
}

func TestStatusesOfAnOutageAreRetriedSoon(t *testing.T) {
	for _, status := range []int{408, 429, 502, 503, 504, 521} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			withServer(t, func(s *testServer) {
				t := s.t
				proxy := s.startProxy(answerStatus(status))
				c := s.newClient(patchedPath, proxy.use)
				err := c.AwaitReady(withTimeout(t, 20*time.Second))
				require.ErrorIs(t, err, context.DeadlineExceeded, "waiting is of use")
				require.ErrorContains(t, err, "HTTP "+strconv.Itoa(status))
				require.ErrorContains(t, err, "a proxy ")
				assert.False(t, wsx.IsRejected(err))
				assert.Equal(t, wsx.ReasonProxyError, wsx.ReasonOf(err))
				assert.Equal(t, 1, strings.Count(s.log.String(), "level=WARN"), s.log.String())
				assert.NotContains(t, s.log.String(), "level=ERROR")
				require.Greater(t, proxy.countAttempts(), 2)
				bound := wsx.DefaultInitialBackOff
				for i, wait := range proxy.waits() {
					assert.LessOrEqual(t, wait, bound, "wait %d", i)
					bound *= 2
				}
				proxy.down.Store(false)
				require.NoError(t, c.AwaitReady(withTimeout(t, 30*time.Second)))
			})
		})
	}
}

func TestOtherStatusesAreRejectionsWithAHint(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		hint   string
	}{
		"200": {answerStatus(200), "is there a WebSocket channel at this address?"},
		"301": {
			answerStatus(301, "Location", "https://user:hidden@zato.example.com:8443/my.wsx?token=hidden"),
			"it redirects to https://zato.example.com:8443, and redirects are not followed: use wss://",
		},
		"302": {answerStatus(302, "Location", "/login?token=hidden"), "it redirects to http://memory, and"},
		"307": {answerStatus(307, "Location", "https://a.example"), "it redirects to https://a.example, and"},
		"308": {answerStatus(308, "Location", "https://a.example"), "use wss:// in the address"},
		"303": {answerStatus(303), "is there a WebSocket channel at this address?"},
		"400": {answerStatus(400), "a proxy probably does not pass the WebSocket upgrade on"},
		"426": {answerStatus(426), "a proxy probably does not pass the WebSocket upgrade on"},
		"401": {answerStatus(401), "a proxy wants credentials: set them in connection.headers"},
		"407": {answerStatus(407), "a proxy wants credentials: set them in connection.headers"},
		"403": {answerStatus(403), "a proxy does not let this client in"},
		"404": {answerStatus(404), "no WebSocket channel has the path of this address"},
		"410": {answerStatus(410), "is there a WebSocket channel at this address?"},
		"500": {answerStatus(500), "is there a WebSocket channel at this address?"},
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(s *testServer) {
				t := s.t
				proxy := s.startProxy(c.answer)
				client := s.newClient(patchedPath, proxy.use)
				start := time.Now()
				err := client.AwaitReady(withTimeout(t, 20*time.Second))
				assert.Zero(t, time.Since(start), "it fails at once")
				require.ErrorContains(t, err, "HTTP "+name+" ")
				require.ErrorContains(t, err, c.hint)
				assert.NotContains(t, err.Error(), "hidden")
				assert.True(t, wsx.IsRejected(err))
				assert.Equal(t, wsx.ReasonUpgradeRefused, wsx.ReasonOf(err))
				advance(14 * time.Second)
				assert.Equal(t, 1, proxy.countAttempts(), "the next attempt is slow")
				assert.Equal(t, 1, strings.Count(s.log.String(), "level=ERROR"))
			})
		})
	}
}

func TestInvalidUpgradeIsARejection(t *testing.T) {
	withServer(t, func(s *testServer) {
		proxy := s.startProxy(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if assert.NoError(s.t, err) {
				_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\n\r\n"))
				_ = conn.Close()
			}
		})
		err := s.newClient(patchedPath, proxy.use).AwaitReady(s.t.Context())
		require.ErrorContains(s.t, err, "HTTP 101 Switching Protocols: a proxy probably does not pass")
		assert.True(s.t, wsx.IsRejected(err))
	})
}

func TestRetryAfterDelaysTheNextAttempt(t *testing.T) {
	inBubble := func(d time.Duration) func() string { // the date is that of the bubble
		return func() string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	}
	fixed := func(value string) func() string { return func() string { return value } }
	for name, c := range map[string]struct {
		status      int
		retryAfter  func() string
		least, most time.Duration
	}{
		"seconds":          {429, fixed("10"), 10 * time.Second, 10*time.Second + wsx.DefaultInitialBackOff},
		"seconds with 503": {503, fixed("5"), 5 * time.Second, 5*time.Second + wsx.DefaultInitialBackOff},
		"a date":           {503, inBubble(12 * time.Second), 11 * time.Second, 13 * time.Second},
		"a date of the past": {
			429, inBubble(-time.Hour), 0, wsx.DefaultInitialBackOff,
		},
		"more than the longest wait": {429, fixed("86400"), wsx.DefaultMaxBackOff, wsx.DefaultMaxBackOff},
		"a number that overflows":    {429, fixed("9223372036854775807"), wsx.DefaultMaxBackOff, wsx.DefaultMaxBackOff},
		"a negative number":          {503, fixed("-5"), 0, wsx.DefaultInitialBackOff},
		"not a number":               {503, fixed("soon"), 0, wsx.DefaultInitialBackOff},
		"a status that has none":     {502, fixed("10"), 0, wsx.DefaultInitialBackOff},
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(s *testServer) {
				t := s.t
				proxy := s.startProxy(func(w http.ResponseWriter, r *http.Request) {
					answerStatus(c.status, "Retry-After", c.retryAfter())(w, r)
				})
				client := s.newClient(patchedPath, proxy.use)
				require.Error(t, client.AwaitReady(withTimeout(t, 31*time.Second)))
				require.GreaterOrEqual(t, proxy.countAttempts(), 2)
				assert.GreaterOrEqual(t, proxy.waits()[0], c.least)
				assert.LessOrEqual(t, proxy.waits()[0], c.most)
			})
		})
	}
}

func TestRetryAfterIsPartOfTheError(t *testing.T) {
	withServer(t, func(s *testServer) {
		proxy := s.startProxy(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", "Mon, 05 Jan 2026 10:00:00 GMT") // not the clock of the bubble
			answerStatus(503, "Retry-After", "Mon, 05 Jan 2026 10:00:07 GMT")(w, r)
		})
		c := s.newClient(patchedPath, proxy.use)
		err := c.AwaitReady(withTimeout(s.t, time.Second))
		var refused *wsx.UpgradeError
		require.ErrorAs(s.t, err, &refused)
		assert.Equal(s.t, 7*time.Second, refused.RetryAfter)
		assert.Equal(s.t, 503, refused.Status)
	})
}

func TestShortOutageBehindAProxyEndsSoon(t *testing.T) {
	for _, outage := range []time.Duration{time.Second, 8 * time.Second, 25 * time.Second} {
		t.Run(outage.String(), func(t *testing.T) {
			for range 20 { // the waits are random
				withServer(t, func(s *testServer) {
					t := s.t
					proxy := s.startProxy(answerStatus(502))
					proxy.down.Store(false)
					c := s.connect(patchedPath, proxy.use)
					advance(2 * time.Second)
					proxy.down.Store(true)
					s.Cut()
					advance(outage)
					proxy.down.Store(false)
					require.NoError(t, c.AwaitReady(withTimeout(t, 2*time.Second)))
				})
			}
		})
	}
}

func TestLongOutageIsRetriedSlowly(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		proxy := s.startProxy(answerStatus(502))
		proxy.down.Store(false)
		c := s.connect(patchedPath, proxy.use)
		advance(2 * time.Second)
		proxy.down.Store(true)
		s.Cut()
		advance(time.Minute)
		before := proxy.countAttempts()
		advance(time.Hour)
		assert.InDelta(t, 240, proxy.countAttempts()-before, 80, "every 15 seconds on average")
		proxy.down.Store(false)
		require.NoError(t, c.AwaitReady(withTimeout(t, 31*time.Second)))
	})
}

func TestSilenceIsLoggedWithItsDuration(t *testing.T) {
	t.Run("of a connection", func(t *testing.T) {
		withServer(t, func(s *testServer) {
			s.connect(patchedPath, func(cfg *wsx.Config) { cfg.PingInterval = 10 * time.Second })
			advance(2 * time.Second)
			s.Freeze(time.Hour)
			advance(time.Minute)
			assert.Contains(s.t, s.log.String(), "no data arrived for 35s, not even a ping")
			s.Freeze(0)
		})
	})
	t.Run("of the upgrade", func(t *testing.T) {
		withServer(t, func(s *testServer) {
			c := s.newClient(patchedPath, func(cfg *wsx.Config) { cfg.Timeout = 3 * time.Second })
			s.Freeze(time.Hour)
			err := c.AwaitReady(withTimeout(s.t, 4*time.Second))
			require.ErrorContains(s.t, err, "no session within the timeout of 3s")
			require.ErrorContains(s.t, err, "nothing answers on it, neither the server nor a proxy")
			assert.Equal(s.t, wsx.ReasonTimeout, wsx.ReasonOf(err))
			s.Freeze(0)
		})
	})
}

// brokenConn is a connection whose writes fail once broken is closed. Reads go on.
type brokenConn struct {
	net.Conn

	broken  <-chan struct{}
	failure error
}

func (c brokenConn) Write(p []byte) (int, error) {
	select {
	case <-c.broken:
		return 0, &net.OpError{Op: "write", Err: c.failure}
	default:
		return c.Conn.Write(p)
	}
}

func TestPingThatCannotBeSentEndsTheConnection(t *testing.T) {
	for name, c := range map[string]struct {
		failure error
		reason  wsx.DisconnectReason
	}{
		"the connection was reset": {syscall.ECONNRESET, wsx.ReasonLost},
		"the socket stays full":    {os.ErrDeadlineExceeded, wsx.ReasonSilence},
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(s *testServer) {
				t := s.t
				broken := make(chan struct{})
				reasons := make(chan wsx.DisconnectReason, 2) // one more when the client is closed
				client := s.connect(patchedPath, func(cfg *wsx.Config) {
					dial := cfg.Dial
					cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
						conn, err := dial(ctx, network, addr)
						return brokenConn{conn, broken, c.failure}, err
					}
					cfg.OnState = func(state wsx.State, err error) {
						if state == wsx.Draining {
							reasons <- wsx.ReasonOf(err)
						}
					}
				})
				disconnected := client.Disconnected()
				start := time.Now()
				close(broken)
				<-disconnected
				assert.LessOrEqual(t, time.Since(start), wsx.DefaultPingInterval)
				synctest.Wait()
				assert.False(t, client.Connected())
				assert.Equal(t, c.reason, <-reasons)
				assert.Contains(t, s.log.String(), "level=WARN msg=\"the connection is broken")
				advance(2 * time.Second) // it is drained
				assert.Contains(t, s.log.String(), "level=WARN msg=\"not connected\" error=\"a ping could not be sent")
			})
		})
	}
}

func TestPingThatWaitsForALargeFrameDoesNotEndTheConnection(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath, func(cfg *wsx.Config) {
			cfg.Timeout, cfg.PingInterval = 2*time.Second, time.Second
			dial := cfg.Dial
			cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := dial(ctx, network, addr)
				return slowConn{conn}, err
			}
		})
		_, err := c.Invoke(withTimeout(t, time.Minute), "my.echo", strings.Repeat("x", 10*64<<10))
		require.NoError(t, err)
		assert.Contains(t, s.log.String(), "could not send a ping", "the pings waited too long")
		assert.Equal(t, 1, s.SessionsOpened())
	})
}

// slowConn takes a second for each large write.
type slowConn struct{ net.Conn }

func (c slowConn) Write(p []byte) (int, error) {
	if len(p) > 32<<10 {
		advance(time.Second)
	}
	return c.Conn.Write(p)
}

func TestUnreadPipelineNoticesThatItsConnectionEnded(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connectAndSubscribe(func(cfg *wsx.Config) { cfg.PrefetchCount = 1 })
		s.publishTexts(texts("message", 5)...) // nothing receives them, so the socket is not read
		disconnected := c.Disconnected()
		start := time.Now()
		s.Cut()
		<-disconnected
		assert.LessOrEqual(t, time.Since(start), 2*wsx.DefaultPingInterval)
		synctest.Wait()
		assert.Contains(t, s.log.String(), "level=WARN msg=\"the connection is broken")
		assert.Len(t, s.receiveTexts(c, 5), 5, "what had arrived is still received")
	})
}
