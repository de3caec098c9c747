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

func TestCloseFrameNamesTheClient(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		start := time.Now()
		require.NoError(t, c.Close())
		assert.Zero(t, time.Since(start), "the server answered the close frame at once")
		require.Len(t, s.Closes(), 1)
		assert.Equal(t, 1000, s.Closes()[0].Code)
		assert.Equal(t, "Client disconnecting id:'client.a' name:'My a'", s.Closes()[0].Reason)
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
			reason := s.Closes()[0].Reason
			assert.LessOrEqual(t, len(reason), 123)
			assert.Greater(t, len(reason), 119)
			assert.True(t, utf8.ValidString(reason), reason)
		})
	}
}

func TestCloseReturnsWithinTwoSecondsInEveryState(t *testing.T) {
	for name, arrange := range map[string]func(*testing.T, *testServer) *wsx.Client{
		"dialing": func(t *testing.T, s *testServer) *wsx.Client {
			t.Helper()
			return s.newClient(patchedPath, func(cfg *wsx.Config) {
				cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			})
		},
		"logging in": func(t *testing.T, s *testServer) *wsx.Client {
			t.Helper()
			s.Freeze(time.Hour)
			return s.newClient(patchedPath)
		},
		"waiting": func(t *testing.T, s *testServer) *wsx.Client {
			t.Helper()
			s.RefuseLogins(-1)
			return s.newClient(patchedPath)
		},
		"ready": func(t *testing.T, s *testServer) *wsx.Client {
			t.Helper()
			return s.connect(patchedPath)
		},
		"ready, server frozen": func(t *testing.T, s *testServer) *wsx.Client {
			t.Helper()
			c := s.connect(patchedPath)
			s.Freeze(time.Hour)
			return c
		},
		"ready, inbox full": func(t *testing.T, s *testServer) *wsx.Client {
			t.Helper()
			c := s.connect(patchedPath)
			_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: "/my/topic"})
			require.NoError(t, err)
			for range 5 {
				_, err := s.Publish("/my/topic", "x", wsxtest.PublishOptions{})
				require.NoError(t, err)
				advance(time.Second)
			}
			return c
		},
		"draining": func(t *testing.T, s *testServer) *wsx.Client {
			t.Helper()
			c := s.connect(patchedPath)
			s.Disconnect(4005, "bye")
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(s *testServer) {
				t := s.t
				c := arrange(t, s)
				result := make(chan error, 1)
				go func() { result <- c.AwaitReady(t.Context()) }()
				synctest.Wait()
				start := time.Now()
				require.NoError(t, c.Close())
				assert.Less(t, time.Since(start), 2*time.Second)
				s.Freeze(0)
				if err := <-result; err != nil && !errors.Is(err, wsx.ErrLoginRefused) {
					require.ErrorIs(t, err, wsx.ErrClosed)
				}
			})
		})
	}
}
