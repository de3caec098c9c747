package wsx_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestPingReturnsTheRoundTripTime(t *testing.T) {
	withServer(t, func(s *testServer) {
		c := s.newClient(patchedPath)
		took, err := c.Ping(s.t.Context())
		require.NoError(t, err)
		assert.GreaterOrEqual(t, took, time.Duration(0))

		s.Freeze(3 * time.Second)
		took, err = c.Ping(s.t.Context())
		require.NoError(t, err)
		assert.GreaterOrEqual(t, took, 2*time.Second)

		s.Freeze(time.Minute)
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		_, err = c.Ping(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		s.Freeze(0)
	})
}

func TestPingEndsWithItsConnection(t *testing.T) {
	withServer(t, func(s *testServer) {
		c := s.newClient(patchedPath)
		require.NoError(t, c.AwaitReady(s.t.Context()))
		s.Freeze(time.Minute)
		time.AfterFunc(time.Second, func() { s.Freeze(0); s.Cut() })
		_, err := c.Ping(s.t.Context())
		require.ErrorIs(t, err, wsx.ErrConnectionLost)
	})
}

func TestMessagesArriveWhileAPingCannotBeAnswered(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		var blocked atomic.Bool
		c := s.connect(shortTokenPath, blockWrites(&blocked))
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic})
		require.NoError(t, err)
		blocked.Store(true)
		go func() { _, _ = c.Invoke(t.Context(), "my.echo", strings.Repeat("x", 1<<20)) }()
		advance(2500 * time.Millisecond) // the server has sent a ping
		start := time.Now()
		s.publishTexts("text")
		assert.Equal(t, []string{"text"}, s.receiveTexts(c, 1))
		assert.Less(t, time.Since(start), time.Second)
	})
}

func TestPingsThatCannotBeAnsweredDoNotPileUp(t *testing.T) {
	const path = "/my.wsx.pings"
	pings := wsxtest.WithChannel(wsxtest.Channel{
		Path: path, Username: "user1", Secret: "secret1",
		PingInterval: 10 * time.Millisecond, PongWait: 10 * time.Millisecond, PingsMissedThreshold: 1000,
	})
	withServer(t, func(s *testServer) {
		t := s.t
		var blocked atomic.Bool
		c := s.connect(path, blockWrites(&blocked))
		blocked.Store(true)
		go func() { _, _ = c.Invoke(t.Context(), "my.echo", strings.Repeat("x", 1<<20)) }()
		advance(time.Second)
		before := runtime.NumGoroutine()
		advance(time.Second)
		assert.Equal(t, before, runtime.NumGoroutine())
		assert.Contains(t, s.log.String(), "other pings wait for their answers")
	}, pings)
}
