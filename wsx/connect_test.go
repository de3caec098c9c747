package wsx_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestWrongSecretIsToldAtOnceAndTriedAgainSlowly(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.client(patched, func(cfg *wsx.Config) { cfg.Secret = "wrong" })
		began := time.Now()
		err := c.AwaitReady(t.Context())
		require.ErrorIs(t, err, wsx.ErrLoginRefused)
		require.ErrorContains(t, err, "check username and secret")
		assert.Less(t, time.Since(began), time.Second)
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		assert.True(t, wsx.IsRejected(err))

		pass(10 * time.Minute)
		assert.InDelta(t, 27, l.LoginAttempts(), 12, "one attempt in 15 to 30 seconds")
		assert.Equal(t, 1, strings.Count(l.log.String(), "level=ERROR"), "said once:\n%s", l.log.String())

		l.SetSecret(patched, "wrong") // rotated
		pass(time.Minute)
		require.NoError(t, c.AwaitReady(t.Context()))
	})
}

func TestSecretWithQuotesWorks(t *testing.T) {
	const secret = `with "quotes", 'apostrophes', \ and żółć`
	inLab(t, func(l *lab) {
		l.ready("/quoted", func(cfg *wsx.Config) { cfg.Secret = secret })
	}, wsxtest.WithChannel(wsxtest.Channel{Path: "/quoted", Username: "user1", Secret: secret}))
}

func TestWrongPathIsToldAtOnce(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		err := l.client("/no/such").AwaitReady(t.Context())
		var refused *wsx.UpgradeError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, 404, refused.Status)
		require.ErrorContains(t, err, "no WebSocket channel has the path of this address")
	})
}

func TestNoServerIsToldWhenTheContextEnds(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		l.Stop()
		err := l.client(patched).AwaitReady(within(t, 3*time.Second))
		require.ErrorIs(t, err, wsx.ErrNotConnected)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "refused")
	})
}

func TestWaitingWithoutADeadlineEndsAfterTheCallTimeout(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		l.Stop()
		began := time.Now()
		err := l.client(patched, func(cfg *wsx.Config) { cfg.CallTimeout = 7 * time.Second }).AwaitReady(context.Background())
		require.ErrorIs(t, err, wsx.ErrNotConnected)
		assert.Equal(t, 7*time.Second, time.Since(began))
	})
}

func TestTLSOnAPlainPortSaysSo(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.client(patched, func(cfg *wsx.Config) { cfg.Address = strings.Replace(cfg.Address, "ws:", "wss:", 1) })
		err := c.AwaitReady(within(t, 3*time.Second))
		require.ErrorContains(t, err, "does not speak TLS on this port")
	})
}

// silentConn accepts whatever is written and says nothing.
func silentServer(t *testing.T, network *wsxtest.Network) {
	t.Helper()
	listener, err := network.Listen("silent")
	require.NoError(t, err)
	var conns []net.Conn
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-accepted
		for _, c := range conns {
			_ = c.Close()
		}
	})
}

func TestServerThatNeverAnswersCostsTheTimeout(t *testing.T) {
	for name, address := range map[string]string{"plain": "ws://silent/x", "TLS": "wss://silent/x"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := wsxtest.NewNetwork()
				silentServer(t, network)
				var causes []error
				c, err := wsx.New(wsx.Config{
					Address: address, Dial: network.Dial, Timeout: 2 * time.Second,
					OnState: func(s wsx.State, err error) {
						if s == wsx.Waiting {
							causes = append(causes, err)
						}
					},
				})
				require.NoError(t, err)
				require.ErrorContains(t, c.AwaitReady(within(t, 2500*time.Millisecond)), "no session within the timeout of 2s")
				require.NoError(t, c.Close())
				require.NotEmpty(t, causes)
			})
		})
	}
}

func TestDialThatHangsCostsTheTimeout(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.client(patched, func(cfg *wsx.Config) {
			cfg.Timeout = 2 * time.Second
			cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		require.ErrorContains(t, c.AwaitReady(within(t, 2500*time.Millisecond)), "no session within the timeout of 2s")
	})
}

func TestLoginThatIsNotAnsweredCostsTheTimeout(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.client(patched, func(cfg *wsx.Config) { cfg.Timeout = 2 * time.Second })
		l.Freeze(3 * time.Second)
		require.ErrorContains(t, c.AwaitReady(within(t, 2500*time.Millisecond)), "no session within the timeout of 2s")
		require.NoError(t, c.AwaitReady(t.Context()), "the next attempt succeeds")
	})
}

func TestReconnectsByItselfAtOnceAfterASessionThatLasted(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		pass(2 * time.Second)
		l.Cut()
		synctest.Wait()
		began := time.Now()
		require.NoError(t, c.AwaitReady(t.Context()))
		assert.Zero(t, time.Since(began))
		assert.Equal(t, 2, l.SessionsOpened())
		assert.Contains(t, l.log.String(), "without a close frame")
		assert.Contains(t, l.log.String(), "connected again")
	})
}

func TestServerThatIsDownIsTriedEverMoreSlowly(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		l.Stop()
		var mu sync.Mutex
		var attempts []time.Time
		c := l.client(patched, func(cfg *wsx.Config) {
			cfg.InitialBackOff, cfg.MaxBackOff = time.Second, time.Minute
			cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				mu.Lock()
				defer mu.Unlock()
				attempts = append(attempts, time.Now())
				return l.network.Dial(ctx, network, addr)
			}
		})
		require.Error(t, c.AwaitReady(within(t, time.Hour)))
		mu.Lock()
		defer mu.Unlock()
		ceiling := time.Second
		var short, long bool
		for i := 1; i < len(attempts); i++ {
			wait := attempts[i].Sub(attempts[i-1])
			assert.LessOrEqual(t, wait, ceiling, "attempt %d", i)
			short = short || wait < 15*time.Second
			long = long || wait > 45*time.Second
			ceiling = min(2*ceiling, time.Minute)
		}
		assert.True(t, short && long, "drawn from zero to the ceiling")
		assert.InDelta(t, 120, len(attempts), 40, "half a minute each, in the mean")
		assert.Equal(t, 1, strings.Count(l.log.String(), "level=WARN"), "the same cause is said once")
	})
}

func TestServerThatReturnsIsFound(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		l.Stop()
		pass(10 * time.Minute)
		require.NoError(t, l.Restart())
		require.NoError(t, c.AwaitReady(within(t, time.Minute)))
	})
}

func TestSessionsThatDoNotLastAreTriedEverMoreSlowly(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.client(patched, func(cfg *wsx.Config) { cfg.MaxBackOff = time.Minute })
		deadline := time.Now().Add(time.Hour)
		for time.Now().Before(deadline) {
			if c.AwaitReady(within(t, 2*time.Minute)) == nil {
				l.Cut()
				synctest.Wait()
			}
		}
		assert.Less(t, l.SessionsOpened(), 200)
	})
}

func TestSilentLinkIsReplaced(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		pass(2 * time.Second)
		l.Freeze(10 * time.Minute)
		pass(72 * time.Second) // 75 after the last that came
		state, _ := c.State()
		require.Equal(t, wsx.Ready, state)
		pass(2 * time.Second)
		state, cause := c.State()
		require.NotEqual(t, wsx.Ready, state)
		require.ErrorContains(t, cause, "timeout")
	})
}

func TestAnsweredPingsKeepASessionForEver(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(short) // its token lives five seconds
		for range 60 {
			pass(time.Minute)
			_, err := c.Invoke(t.Context(), "zato.ping", nil)
			require.NoError(t, err)
		}
		assert.Equal(t, 1, l.SessionsOpened())
	})
}

func TestGarbageEndsTheSession(t *testing.T) {
	for name, spoil := range map[string]func(*lab){
		"no JSON":          func(l *lab) { l.SendRaw([]byte("{oops")) },
		"no message type":  func(l *lab) { l.SendRaw([]byte(`{"meta": {}}`)) },
		"broken messages":  func(l *lab) { l.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.psrq"}, "data": [1]}`)) },
		"broken message":   func(l *lab) { l.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.psrq"}, "data": 1}`)) },
		"broken token":     func(l *lab) { l.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.rspa"}, "data": {}}`)) },
		"half a frame":     func(l *lab) { l.SendPartialFrame() },
		"a frame too long": func(l *lab) { l.SendRaw([]byte(`{"x": "` + strings.Repeat("x", 2000) + `"}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				t := l.t
				c := l.ready(patched, func(cfg *wsx.Config) { cfg.MaxMessageSize = 1000 })
				pass(2 * time.Second)
				spoil(l)
				synctest.Wait()
				require.NoError(t, c.AwaitReady(t.Context()))
				assert.Equal(t, 2, l.SessionsOpened())
				assert.Contains(t, l.log.String(), "level=WARN")
			})
		})
	}
}

func TestUnknownTypesOfFramesAreIgnored(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		l.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.new"}}`))
		_, err := c.Invoke(t.Context(), "zato.ping", nil)
		require.NoError(t, err)
		assert.Equal(t, 1, l.SessionsOpened())
		assert.Contains(t, l.log.String(), "zwsx.new")
	})
}

func TestStatesAreToldInTheOrderOfLife(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		var states []wsx.State
		c := l.ready(patched, func(cfg *wsx.Config) {
			cfg.OnState = func(s wsx.State, _ error) { states = append(states, s) }
		})
		require.NoError(t, c.Close())
		assert.Equal(t, []wsx.State{
			wsx.Dialing, wsx.LoggingIn, wsx.Resubscribing, wsx.Ready, wsx.Draining, wsx.Stopped,
		}, states)
	})
}

func TestTheUpgradeCarriesHeadersAndTheLoginAttributes(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched, func(cfg *wsx.Config) {
			cfg.Attributes = map[string]string{"shard": "7", "region": "eu"}
			cfg.Headers = map[string][]string{"X-Test": {"1"}}
		})
		answer, err := c.Invoke(t.Context(), "my.whoami", map[string]int{"x": 1})
		require.NoError(t, err)
		assert.Contains(t, string(answer), `"region": "eu"`)
		assert.Contains(t, string(answer), `"shard": 7`)
		assert.Contains(t, string(answer), `"ext_client_id": "client.a"`)
	})
}
