package wsx_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsx"
)

func TestEndsOfConnectionsHaveCauses(t *testing.T) {
	for cause, end := range map[wsx.DisconnectReason]func(*testServer, *wsx.Client){
		wsx.ReasonLost:           func(s *testServer, _ *wsx.Client) { s.Cut() },
		wsx.ReasonClosedByServer: func(s *testServer, _ *wsx.Client) { s.Disconnect(4002, "Pings missed") },
		wsx.ReasonBadFrame:       func(s *testServer, _ *wsx.Client) { s.SendRaw([]byte(`{"broken`)) },
		wsx.ReasonSilence:        func(s *testServer, _ *wsx.Client) { s.Freeze(time.Hour); advance(10 * time.Minute) },
		wsx.ReasonClosedByClient: func(_ *testServer, c *wsx.Client) { _ = c.Close() },
		wsx.ReasonSessionEnded: func(s *testServer, c *wsx.Client) {
			s.ExpireTokens()
			_, _ = c.Invoke(withTimeout(s.t, time.Second), "my.echo", 1)
		},
	} {
		t.Run(string(cause), func(t *testing.T) {
			withServer(t, func(s *testServer) {
				var causes []wsx.DisconnectReason
				c := s.connect(patchedPath, func(cfg *wsx.Config) {
					cfg.OnState = func(state wsx.State, err error) {
						if state == wsx.Draining {
							causes = append(causes, wsx.ReasonOf(err))
						}
					}
				})
				advance(time.Second)
				end(s, c)
				advance(time.Second)
				require.NotEmpty(s.t, causes)
				assert.Equal(s.t, cause, causes[0])
			})
		})
	}
}

func TestFailedAttemptsHaveCauses(t *testing.T) {
	for cause, spoil := range map[wsx.DisconnectReason]func(*testServer, *wsx.Config){
		wsx.ReasonLoginRefused:   func(_ *testServer, cfg *wsx.Config) { cfg.Secret = "wrong" },
		wsx.ReasonUpgradeRefused: func(s *testServer, cfg *wsx.Config) { cfg.Address = s.URL("/none") },
		wsx.ReasonTimeout:        func(s *testServer, _ *wsx.Config) { s.Freeze(time.Minute) },
	} {
		t.Run(string(cause), func(t *testing.T) {
			withServer(t, func(s *testServer) {
				c := s.newClient(patchedPath, func(cfg *wsx.Config) {
					cfg.Timeout = time.Second
					spoil(s, cfg)
				})
				require.Error(s.t, c.AwaitReady(withTimeout(s.t, 1500*time.Millisecond)))
				_, err := c.State()
				assert.Equal(s.t, cause, wsx.ReasonOf(err), "%v", err)
			})
		})
	}
}

func TestNobodyWhoListensIsUnreachable(t *testing.T) {
	for _, host := range []string{streamtest.FreeAddress(t), "no.such.host.invalid:1"} {
		c, err := wsx.New(wsx.Config{Address: "ws://" + host + "/"})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			_ = c.AwaitReady(withTimeout(t, 100*time.Millisecond))
			_, err := c.State()
			return err != nil && wsx.ReasonOf(err) == wsx.ReasonUnreachable
		}, 10*time.Second, time.Millisecond)
		require.NoError(t, c.Close())
	}
}

func TestClientsCountWhatGoesOverTheirConnections(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.newClient(patchedPath)
		assert.Zero(t, c.Stats())
		require.NoError(t, c.AwaitReady(t.Context()))
		first := c.Stats()
		assert.EqualValues(t, 1, first.Sessions)
		assert.EqualValues(t, 1, first.FramesIn, "the session")
		assert.EqualValues(t, 1, first.FramesOut, "the login")
		assert.Greater(t, first.BytesIn, int64(100), "the upgrade, too")
		assert.Greater(t, first.BytesOut, int64(100))
		advance(time.Second)
		_, err := c.Invoke(t.Context(), "my.echo", 1)
		require.NoError(t, err)
		second := c.Stats()
		assert.EqualValues(t, 2, second.FramesIn)
		assert.EqualValues(t, 2, second.FramesOut)
		assert.Greater(t, second.LastRead, first.LastRead)
		s.Cut()
		advance(time.Minute)
		assert.EqualValues(t, 2, c.Stats().Sessions)

		go func() { _, _ = c.Invoke(t.Context(), "my.sleep", map[string]any{"seconds": 5}) }()
		advance(time.Second)
		assert.Equal(t, 1, c.Stats().InFlight)
		advance(5 * time.Second)
		assert.Zero(t, c.Stats().InFlight)
	})
}
