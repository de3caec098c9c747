package wsx_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestCloseSaysGoodbyeByName(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		began := time.Now()
		require.NoError(t, c.Close())
		assert.Zero(t, time.Since(began), "the server's echo is not waited for in vain")
		require.Len(t, l.CloseFrames(), 1)
		assert.Equal(t, 1000, l.CloseFrames()[0].Code)
		assert.Equal(t, "Client disconnecting id:'client.a' name:'My a'", l.CloseFrames()[0].Reason)
		require.NoError(t, c.Close(), "twice")
		_, err := c.Invoke(t.Context(), "zato.ping", nil)
		require.ErrorIs(t, err, wsx.ErrClosed)
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		state, _ := c.State()
		assert.Equal(t, wsx.Stopped, state)
	})
}

func TestReasonOfAGoodbyeIsCutAtARune(t *testing.T) {
	for _, name := range []string{
		strings.Repeat("x", 200), strings.Repeat("ż", 100), strings.Repeat("😀", 50), "x" + strings.Repeat("😀", 50),
	} {
		inLab(t, func(l *lab) {
			t := l.t
			c := l.ready(patched, func(cfg *wsx.Config) { cfg.ClientName = name })
			require.NoError(t, c.Close())
			reason := l.CloseFrames()[0].Reason
			assert.LessOrEqual(t, len(reason), 123)
			assert.Greater(t, len(reason), 119)
			assert.True(t, utf8.ValidString(reason), reason)
		})
	}
}

func TestCloseEndsEveryStateWithinTwoSeconds(t *testing.T) {
	for name, arrange := range map[string]func(*testing.T, *lab) *wsx.Client{
		"dialing": func(t *testing.T, l *lab) *wsx.Client {
			t.Helper()
			return l.client(patched, func(cfg *wsx.Config) {
				cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			})
		},
		"logging in": func(t *testing.T, l *lab) *wsx.Client {
			t.Helper()
			l.Freeze(time.Hour)
			return l.client(patched)
		},
		"waiting": func(t *testing.T, l *lab) *wsx.Client {
			t.Helper()
			l.RefuseLogins(-1)
			return l.client(patched)
		},
		"ready": func(t *testing.T, l *lab) *wsx.Client {
			t.Helper()
			return l.ready(patched)
		},
		"ready, the server hangs": func(t *testing.T, l *lab) *wsx.Client {
			t.Helper()
			c := l.ready(patched)
			l.Freeze(time.Hour)
			return c
		},
		"ready, nobody takes the messages": func(t *testing.T, l *lab) *wsx.Client {
			t.Helper()
			c := l.ready(patched)
			_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: "/my/topic"})
			require.NoError(t, err)
			for range 5 {
				_, err := l.Publish("/my/topic", "x", wsxtest.PublishOptions{})
				require.NoError(t, err)
				pass(time.Second)
			}
			return c
		},
		"draining": func(t *testing.T, l *lab) *wsx.Client {
			t.Helper()
			c := l.ready(patched)
			l.Disconnect(4005, "bye")
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				t := l.t
				c := arrange(t, l)
				waiting := make(chan error, 1)
				go func() { waiting <- c.AwaitReady(t.Context()) }()
				synctest.Wait()
				began := time.Now()
				require.NoError(t, c.Close())
				assert.Less(t, time.Since(began), 2*time.Second)
				l.Freeze(0)
				if err := <-waiting; err != nil && !errors.Is(err, wsx.ErrLoginRefused) {
					require.ErrorIs(t, err, wsx.ErrClosed)
				}
			})
		})
	}
}
