package wsx_test

import (
	"context"
	"net"
	"slices"
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

func TestRejectedLoginFailsAtOnceAndIsRetriedSlowly(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.newClient(patchedPath, func(cfg *wsx.Config) { cfg.Secret = "wrong" })
		start := time.Now()
		err := c.AwaitReady(t.Context())
		require.ErrorIs(t, err, wsx.ErrLoginRefused)
		require.ErrorContains(t, err, "check username and secret")
		assert.Less(t, time.Since(start), time.Second)
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		assert.True(t, wsx.IsRejected(err))

		advance(10 * time.Minute)
		assert.InDelta(t, 27, s.LoginAttempts(), 12, "one attempt in 15 to 30 seconds")
		assert.Equal(t, 1, strings.Count(s.log.String(), "level=ERROR"), "logged once:\n%s", s.log.String())

		s.SetSecret(patchedPath, "wrong") // now it is right
		advance(time.Minute)
		require.NoError(t, c.AwaitReady(t.Context()))
	})
}

func TestSecretMayContainQuotes(t *testing.T) {
	const secret = `with "quotes", 'apostrophes', \ and żółć`
	withServer(t, func(s *testServer) {
		s.connect("/quoted", func(cfg *wsx.Config) { cfg.Secret = secret })
	}, wsxtest.WithChannel(wsxtest.Channel{Path: "/quoted", Username: "user1", Secret: secret}))
}

func TestWrongPathFailsAtOnce(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		err := s.newClient("/no/such").AwaitReady(t.Context())
		var refused *wsx.UpgradeError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, 404, refused.Status)
		require.ErrorContains(t, err, "no WebSocket channel has the path of this address")
	})
}

func TestAwaitReadyReportsARefusedConnectionWhenItsContextEnds(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		s.Stop()
		err := s.newClient(patchedPath).AwaitReady(withTimeout(t, 3*time.Second))
		require.ErrorIs(t, err, wsx.ErrNotConnected)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "refused")
	})
}

func TestAwaitReadyWithoutDeadlineEndsAfterTheCallTimeout(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		s.Stop()
		start := time.Now()
		c := s.newClient(patchedPath, func(cfg *wsx.Config) { cfg.CallTimeout = 7 * time.Second })
		err := c.AwaitReady(context.Background())
		require.ErrorIs(t, err, wsx.ErrNotConnected)
		assert.Equal(t, 7*time.Second, time.Since(start))
	})
}

func TestTLSOnAPlainPortFailsWithAHint(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.newClient(patchedPath, func(cfg *wsx.Config) { cfg.Address = strings.Replace(cfg.Address, "ws:", "wss:", 1) })
		err := c.AwaitReady(withTimeout(t, 3*time.Second))
		require.ErrorContains(t, err, "does not speak TLS on this port")
	})
}

// startSilentServer starts a server at the host "silent" that accepts connections and
// never reads or writes.
func startSilentServer(t *testing.T, network *wsxtest.Network) {
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

func TestConnectTimesOutIfTheServerIsSilent(t *testing.T) {
	for name, address := range map[string]string{"plain": "ws://silent/x", "TLS": "wss://silent/x"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := wsxtest.NewNetwork()
				startSilentServer(t, network)
				var causes []error
				c, err := wsx.New(wsx.Config{
					Address: address, Dial: network.Dial, Timeout: 2 * time.Second,
					OnState: func(state wsx.State, err error) {
						if state == wsx.Waiting {
							causes = append(causes, err)
						}
					},
				})
				require.NoError(t, err)
				require.ErrorContains(t, c.AwaitReady(withTimeout(t, 2500*time.Millisecond)), "no session within the timeout of 2s")
				require.NoError(t, c.Close())
				require.NotEmpty(t, causes)
			})
		})
	}
}

func TestConnectTimesOutIfDialHangs(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.newClient(patchedPath, func(cfg *wsx.Config) {
			cfg.Timeout = 2 * time.Second
			cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		require.ErrorContains(t, c.AwaitReady(withTimeout(t, 2500*time.Millisecond)), "no session within the timeout of 2s")
	})
}

func TestConnectTimesOutIfTheLoginIsNotAnswered(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.newClient(patchedPath, func(cfg *wsx.Config) { cfg.Timeout = 2 * time.Second })
		s.Freeze(3 * time.Second)
		require.ErrorContains(t, c.AwaitReady(withTimeout(t, 2500*time.Millisecond)), "no session within the timeout of 2s")
		require.NoError(t, c.AwaitReady(t.Context()), "the next attempt succeeds")
	})
}

func TestStableSessionIsReplacedAtOnce(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		advance(2 * time.Second)
		s.Cut()
		synctest.Wait()
		start := time.Now()
		require.NoError(t, c.AwaitReady(t.Context()))
		assert.Zero(t, time.Since(start))
		assert.Equal(t, 2, s.SessionsOpened())
		assert.Contains(t, s.log.String(), "without a close frame")
		assert.Contains(t, s.log.String(), "connected again")
	})
}

func TestRetriesBackOffWhileTheServerIsDown(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		s.Stop()
		var mu sync.Mutex
		var attempts []time.Time
		c := s.newClient(patchedPath, func(cfg *wsx.Config) {
			cfg.InitialBackOff, cfg.MaxBackOff = time.Second, time.Minute
			cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				mu.Lock()
				defer mu.Unlock()
				attempts = append(attempts, time.Now())
				return s.network.Dial(ctx, network, addr)
			}
		})
		require.Error(t, c.AwaitReady(withTimeout(t, time.Hour)))
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
		assert.True(t, short && long, "random, from zero to the ceiling")
		assert.InDelta(t, 120, len(attempts), 40, "half a minute apart on average")
		assert.Equal(t, 1, strings.Count(s.log.String(), "level=WARN"), "the same error is logged once")
	})
}

func TestClientReconnectsWhenTheServerReturns(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		s.Stop()
		advance(10 * time.Minute)
		require.NoError(t, s.Restart())
		require.NoError(t, c.AwaitReady(withTimeout(t, time.Minute)))
	})
}

func TestRetriesBackOffAfterUnstableSessions(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.newClient(patchedPath, func(cfg *wsx.Config) { cfg.MaxBackOff = time.Minute })
		deadline := time.Now().Add(time.Hour)
		for time.Now().Before(deadline) {
			if c.AwaitReady(withTimeout(t, 2*time.Minute)) == nil {
				s.Cut()
				synctest.Wait()
			}
		}
		assert.Less(t, s.SessionsOpened(), 200)
	})
}

func TestSilentConnectionIsReplaced(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		advance(2 * time.Second)
		s.Freeze(10 * time.Minute)
		advance(72 * time.Second) // 75 seconds after the last frame the session ends
		state, _ := c.State()
		require.Equal(t, wsx.Ready, state)
		advance(2 * time.Second)
		state, cause := c.State()
		require.NotEqual(t, wsx.Ready, state)
		require.ErrorContains(t, cause, "timeout")
	})
}

func TestAnsweredPingsKeepTheTokenValid(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(shortTokenPath)
		for range 60 {
			advance(time.Minute)
			_, err := c.Invoke(t.Context(), "zato.ping", nil)
			require.NoError(t, err)
		}
		assert.Equal(t, 1, s.SessionsOpened())
	})
}

func TestOnStateReportsTheStatesInOrder(t *testing.T) {
	opened := []wsx.State{wsx.Dialing, wsx.LoggingIn, wsx.Resubscribing, wsx.Ready}
	for name, c := range map[string]struct {
		prepare func(*testServer, *wsx.Config)
		use     func(*testServer, *wsx.Client)
		states  []wsx.State
	}{
		"closed while ready": {
			states: append(slices.Clone(opened), wsx.Draining, wsx.Stopped),
		},
		"never used": {
			use:    func(_ *testServer, c *wsx.Client) { _ = c.Close() },
			states: []wsx.State{wsx.Stopped},
		},
		"dial failed": {
			prepare: func(s *testServer, _ *wsx.Config) { s.Stop() },
			states:  []wsx.State{wsx.Dialing, wsx.Waiting, wsx.Stopped},
		},
		"login refused": {
			prepare: func(_ *testServer, cfg *wsx.Config) { cfg.Secret = "wrong" },
			states:  []wsx.State{wsx.Dialing, wsx.LoggingIn, wsx.Waiting, wsx.Stopped},
		},
		"closed while dialing": {
			prepare: func(s *testServer, _ *wsx.Config) { s.Freeze(time.Hour) },
			states:  []wsx.State{wsx.Dialing, wsx.Stopped},
		},
		"connection lost": {
			use: func(s *testServer, c *wsx.Client) {
				_ = c.AwaitReady(s.t.Context())
				advance(2 * time.Second)
				s.Cut()
				synctest.Wait()
			},
			states: slices.Concat(opened, []wsx.State{wsx.Draining, wsx.Waiting},
				opened, []wsx.State{wsx.Draining, wsx.Stopped}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(s *testServer) {
				var states []wsx.State
				client := s.newClient(patchedPath, func(cfg *wsx.Config) {
					cfg.OnState = func(state wsx.State, _ error) { states = append(states, state) }
					if c.prepare != nil {
						c.prepare(s, cfg)
					}
				})
				if c.use == nil {
					c.use = func(s *testServer, c *wsx.Client) {
						_ = c.AwaitReady(withTimeout(s.t, 0)) // starts the client
						synctest.Wait()
					}
				}
				c.use(s, client)
				require.NoError(s.t, client.Close())
				assert.Equal(s.t, c.states, states)
			})
		})
	}
}

func TestRequestsThatAreTooLargeDoNotRaiseTheBackOff(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.newClient(patchedPath, func(cfg *wsx.Config) {
			cfg.InitialBackOff, cfg.MaxBackOff = time.Second, time.Hour
		})
		for range 20 {
			require.NoError(t, c.AwaitReady(withTimeout(t, time.Second)))
			advance(20 * time.Millisecond) // a request is on its way
			s.Disconnect(1009, "too large")
			synctest.Wait()
		}
	})
}

func TestStableSessionResetsTheBackOff(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		s.Stop()
		var attempts []time.Time
		c := s.newClient(patchedPath, func(cfg *wsx.Config) {
			cfg.InitialBackOff, cfg.MaxBackOff = time.Second, time.Hour
			cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				attempts = append(attempts, time.Now())
				return s.network.Dial(ctx, network, addr)
			}
		})
		require.Error(t, c.AwaitReady(withTimeout(t, 24*time.Hour))) // the back-off grows to an hour
		require.NoError(t, s.Restart())
		require.NoError(t, c.AwaitReady(withTimeout(t, 2*time.Hour)))
		advance(2 * time.Second)
		attempts = nil
		stopped := time.Now()
		s.Stop()
		advance(time.Minute)
		require.Greater(t, len(attempts), 3)
		assert.Equal(t, stopped, attempts[0])
		ceiling := time.Second
		for i := 1; i < len(attempts); i++ {
			assert.LessOrEqual(t, attempts[i].Sub(attempts[i-1]), ceiling, "attempt %d", i)
			ceiling = min(2*ceiling, time.Hour)
		}
	})
}

func TestContextOfEachAttemptEnds(t *testing.T) {
	for name, prepare := range map[string]func(*testServer, *wsx.Config){
		"ready":         func(*testServer, *wsx.Config) {},
		"dial failed":   func(s *testServer, _ *wsx.Config) { s.Stop() },
		"login refused": func(_ *testServer, cfg *wsx.Config) { cfg.Secret = "wrong" },
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(s *testServer) {
				var attempts []context.Context
				c := s.newClient(patchedPath, func(cfg *wsx.Config) {
					prepare(s, cfg)
					cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
						attempts = append(attempts, ctx)
						return s.network.Dial(ctx, network, addr)
					}
				})
				_ = c.AwaitReady(withTimeout(s.t, time.Second))
				synctest.Wait()
				require.NotEmpty(s.t, attempts)
				for _, ctx := range attempts {
					require.ErrorIs(s.t, ctx.Err(), context.Canceled)
				}
			})
		})
	}
}

func TestAttributesAndNamesReachTheServices(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath, func(cfg *wsx.Config) {
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

func TestDisconnectedIsClosedWhileThereIsNoConnection(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.newClient(patchedPath)
		<-c.Disconnected()
		require.NoError(t, c.AwaitReady(t.Context()))
		disconnected := c.Disconnected()
		select {
		case <-disconnected:
			t.Fatal("the client is connected")
		default:
		}
		s.Cut()
		<-disconnected
	})
}
