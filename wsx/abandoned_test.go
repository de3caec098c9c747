package wsx_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

func TestAbandonedCallCountsUntilItsAnswerIsReported(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		late := make(chan struct{}, 1)
		c := l.ready(patched, func(cfg *wsx.Config) { cfg.OnLateAnswer = func() { late <- struct{}{} } })
		assert.Zero(t, c.Abandoned())
		began := time.Now()
		_, err := c.Invoke(within(t, time.Second), "my.sleep", sleepRequest)
		require.Error(t, err)
		assert.Equal(t, 1, c.Abandoned())
		<-late
		assert.Equal(t, 10*time.Second, time.Since(began))
		assert.Zero(t, c.Abandoned())
	})
}

func TestAbandonedCallEndsWithItsConnection(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		_, err := c.Invoke(within(t, time.Second), "my.sleep", sleepRequest)
		require.Error(t, err)
		l.Cut()
		<-c.Disconnected()
		require.NoError(t, c.AwaitReady(t.Context()))
		assert.Zero(t, c.Abandoned())
	})
}

func TestConnectOpensAConnectionInTheBackground(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		ready := make(chan struct{})
		c := l.client(patched, func(cfg *wsx.Config) {
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
		assert.Equal(t, 1, l.SessionsOpened())
	})
}
