package wsx_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsx"
)

func TestReasonOfALostConnection(t *testing.T) {
	for reason, end := range map[wsx.DisconnectReason]func(*testServer, *wsx.Client){
		wsx.ReasonLost:           func(s *testServer, _ *wsx.Client) { s.Cut() },
		wsx.ReasonClosedByServer: func(s *testServer, _ *wsx.Client) { s.Disconnect(4002, "Pings missed") },
		wsx.ReasonBadFrame:       func(s *testServer, _ *wsx.Client) { s.SendRaw([]byte(`{"invalid`)) },
		wsx.ReasonSilence:        func(s *testServer, _ *wsx.Client) { s.Freeze(time.Hour); advance(10 * time.Minute) },
		wsx.ReasonNotDelivered: func(s *testServer, c *wsx.Client) {
			key, err := c.Subscribe(s.t.Context(), wsx.Subscription{Topic: topic})
			require.NoError(s.t, err)
			s.DeleteSubscription(key.Reveal())
			advance(10 * time.Second)
		},
		wsx.ReasonClosedByClient: func(_ *testServer, c *wsx.Client) { _ = c.Close() },
		wsx.ReasonSessionEnded: func(s *testServer, c *wsx.Client) {
			s.ExpireTokens()
			_, _ = c.Invoke(withTimeout(s.t, time.Second), "my.echo", 1)
		},
	} {
		t.Run(string(reason), func(t *testing.T) {
			withServer(t, func(s *testServer) {
				var reasons []wsx.DisconnectReason
				c := s.connect(patchedPath, func(cfg *wsx.Config) {
					cfg.OnState = func(state wsx.State, err error) {
						if state == wsx.Draining {
							reasons = append(reasons, wsx.ReasonOf(err))
						}
					}
				})
				advance(time.Second)
				end(s, c)
				advance(time.Second)
				require.NotEmpty(s.t, reasons)
				assert.Equal(s.t, reason, reasons[0])
			})
		})
	}
}

func TestReasonOfAFailedAttempt(t *testing.T) {
	for reason, prepare := range map[wsx.DisconnectReason]func(*testServer, *wsx.Config){
		wsx.ReasonLoginRefused:   func(_ *testServer, cfg *wsx.Config) { cfg.Secret = "wrong" },
		wsx.ReasonUpgradeRefused: func(s *testServer, cfg *wsx.Config) { cfg.Address = s.URL("/none") },
		wsx.ReasonTimeout:        func(s *testServer, _ *wsx.Config) { s.Freeze(time.Minute) },
	} {
		t.Run(string(reason), func(t *testing.T) {
			withServer(t, func(s *testServer) {
				c := s.newClient(patchedPath, func(cfg *wsx.Config) {
					cfg.Timeout = time.Second
					prepare(s, cfg)
				})
				require.Error(s.t, c.AwaitReady(withTimeout(s.t, 1500*time.Millisecond)))
				_, err := c.State()
				assert.Equal(s.t, reason, wsx.ReasonOf(err), "%v", err)
			})
		})
	}
}

func TestReasonIsUnreachableIfNothingListens(t *testing.T) {
	for _, host := range []string{streamtest.FreeAddress(t), "no.such.host.invalid:1"} {
		failures := make(chan error, 1)
		c, err := wsx.New(wsx.Config{
			Address: "ws://" + host + "/",
			OnState: func(state wsx.State, err error) {
				if state == wsx.Waiting {
					select {
					case failures <- err:
					default: // only the first failure matters
					}
				}
			},
		})
		require.NoError(t, err)
		require.Error(t, c.AwaitReady(withTimeout(t, 0))) // starts the client
		err = <-failures
		assert.Equal(t, wsx.ReasonUnreachable, wsx.ReasonOf(err), "%v", err)
		require.NoError(t, c.Close())
	}
}
