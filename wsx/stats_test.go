package wsx_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStatsCountTheTraffic(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.newClient(patchedPath)
		assert.Zero(t, c.Stats())
		require.NoError(t, c.AwaitReady(t.Context()))
		first := c.Stats()
		assert.EqualValues(t, 1, first.Sessions)
		assert.EqualValues(t, 1, first.FramesIn, "the answer to the login")
		assert.EqualValues(t, 1, first.FramesOut, "the login")
		assert.Greater(t, first.BytesIn, int64(100), "including the upgrade")
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
