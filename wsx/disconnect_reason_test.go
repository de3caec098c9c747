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
	for cause, end := range map[wsx.DisconnectReason]func(*lab, *wsx.Client){
		wsx.ReasonLost:           func(l *lab, _ *wsx.Client) { l.Cut() },
		wsx.ReasonClosedByServer: func(l *lab, _ *wsx.Client) { l.Disconnect(4002, "Pings missed") },
		wsx.ReasonBadFrame:       func(l *lab, _ *wsx.Client) { l.SendRaw([]byte(`{"broken`)) },
		wsx.ReasonSilence:        func(l *lab, _ *wsx.Client) { l.Freeze(time.Hour); pass(10 * time.Minute) },
		wsx.ReasonClosedByClient: func(_ *lab, c *wsx.Client) { _ = c.Close() },
		wsx.ReasonSessionEnded: func(l *lab, c *wsx.Client) {
			l.ExpireTokens()
			_, _ = c.Invoke(within(l.t, time.Second), "my.echo", 1)
		},
	} {
		t.Run(string(cause), func(t *testing.T) {
			inLab(t, func(l *lab) {
				var causes []wsx.DisconnectReason
				c := l.ready(patched, func(cfg *wsx.Config) {
					cfg.OnState = func(state wsx.State, err error) {
						if state == wsx.Draining {
							causes = append(causes, wsx.ReasonOf(err))
						}
					}
				})
				pass(time.Second)
				end(l, c)
				pass(time.Second)
				require.NotEmpty(l.t, causes)
				assert.Equal(l.t, cause, causes[0])
			})
		})
	}
}

func TestFailedAttemptsHaveCauses(t *testing.T) {
	for cause, spoil := range map[wsx.DisconnectReason]func(*lab, *wsx.Config){
		wsx.ReasonLoginRefused:   func(_ *lab, cfg *wsx.Config) { cfg.Secret = "wrong" },
		wsx.ReasonUpgradeRefused: func(l *lab, cfg *wsx.Config) { cfg.Address = l.URL("/none") },
		wsx.ReasonTimeout:        func(l *lab, _ *wsx.Config) { l.Freeze(time.Minute) },
	} {
		t.Run(string(cause), func(t *testing.T) {
			inLab(t, func(l *lab) {
				c := l.client(patched, func(cfg *wsx.Config) {
					cfg.Timeout = time.Second
					spoil(l, cfg)
				})
				require.Error(l.t, c.AwaitReady(within(l.t, 1500*time.Millisecond)))
				_, err := c.State()
				assert.Equal(l.t, cause, wsx.ReasonOf(err), "%v", err)
			})
		})
	}
}

func TestNobodyWhoListensIsUnreachable(t *testing.T) {
	for _, host := range []string{streamtest.FreeAddress(t), "no.such.host.invalid:1"} {
		c, err := wsx.New(wsx.Config{Address: "ws://" + host + "/"})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			_ = c.AwaitReady(within(t, 100*time.Millisecond))
			_, err := c.State()
			return err != nil && wsx.ReasonOf(err) == wsx.ReasonUnreachable
		}, 10*time.Second, time.Millisecond)
		require.NoError(t, c.Close())
	}
}

func TestClientsCountWhatGoesOverTheirConnections(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.client(patched)
		assert.Zero(t, c.Stats())
		require.NoError(t, c.AwaitReady(t.Context()))
		first := c.Stats()
		assert.EqualValues(t, 1, first.Sessions)
		assert.EqualValues(t, 1, first.FramesIn, "the session")
		assert.EqualValues(t, 1, first.FramesOut, "the login")
		assert.Greater(t, first.BytesIn, int64(100), "the upgrade, too")
		assert.Greater(t, first.BytesOut, int64(100))
		pass(time.Second)
		_, err := c.Invoke(t.Context(), "my.echo", 1)
		require.NoError(t, err)
		second := c.Stats()
		assert.EqualValues(t, 2, second.FramesIn)
		assert.EqualValues(t, 2, second.FramesOut)
		assert.Greater(t, second.LastRead, first.LastRead)
		l.Cut()
		pass(time.Minute)
		assert.EqualValues(t, 2, c.Stats().Sessions)

		go func() { _, _ = c.Invoke(t.Context(), "my.sleep", map[string]any{"seconds": 5}) }()
		pass(time.Second)
		assert.Equal(t, 1, c.Stats().InFlight)
		pass(5 * time.Second)
		assert.Zero(t, c.Stats().InFlight)
	})
}
