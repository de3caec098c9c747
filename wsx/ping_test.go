package wsx_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
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
