package wsx_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

func TestAbandonedCallCountsUntilItsAnswerIsReported(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		late := make(chan struct{}, 1)
		c := s.connect(patchedPath, func(cfg *wsx.Config) { cfg.OnLateAnswer = func() { late <- struct{}{} } })
		assert.Zero(t, c.Abandoned())
		start := time.Now()
		_, err := c.Invoke(withTimeout(t, time.Second), "my.sleep", sleepRequest)
		require.Error(t, err)
		assert.Equal(t, 1, c.Abandoned())
		<-late
		assert.Equal(t, 10*time.Second, time.Since(start))
		assert.Zero(t, c.Abandoned())
	})
}

func TestAbandonedCallEndsWithItsConnection(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		_, err := c.Invoke(withTimeout(t, time.Second), "my.sleep", sleepRequest)
		require.Error(t, err)
		s.Cut()
		<-c.Disconnected()
		require.NoError(t, c.AwaitReady(t.Context()))
		assert.Zero(t, c.Abandoned())
	})
}

func TestConnectOpensAConnectionInTheBackground(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		ready := make(chan struct{})
		c := s.newClient(patchedPath, func(cfg *wsx.Config) {
			cfg.OnState = func(state wsx.State, _ error) {
				if state == wsx.Ready {
					close(ready)
				}
			}
		})
		c.Connect()
		c.Connect()
		<-ready
		assert.True(t, c.Connected())
		assert.Equal(t, 1, s.SessionsOpened())
	})
}
