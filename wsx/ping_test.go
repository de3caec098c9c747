package wsx_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestPingMeasuresTheWayThereAndBack(t *testing.T) {
	inLab(t, func(l *lab) {
		c := l.client(patched)
		took, err := c.Ping(l.t.Context())
		require.NoError(t, err)
		assert.GreaterOrEqual(t, took, time.Duration(0))

		l.Freeze(3 * time.Second)
		took, err = c.Ping(l.t.Context())
		require.NoError(t, err)
		assert.GreaterOrEqual(t, took, 2*time.Second)

		l.Freeze(time.Minute)
		ctx, cancel := context.WithTimeout(l.t.Context(), time.Second)
		defer cancel()
		_, err = c.Ping(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		l.Freeze(0)
	})
}

func TestPingEndsWithItsConnection(t *testing.T) {
	inLab(t, func(l *lab) {
		c := l.client(patched)
		require.NoError(t, c.AwaitReady(l.t.Context()))
		l.Freeze(time.Minute)
		time.AfterFunc(time.Second, func() { l.Freeze(0); l.Cut() })
		_, err := c.Ping(l.t.Context())
		require.ErrorIs(t, err, wsx.ErrConnectionLost)
	})
}

func TestTheGatewayTellsWhetherItIsMended(t *testing.T) {
	for path, patched := range map[string]bool{patched: true, stock: false} {
		inLab(t, func(l *lab) {
			got, err := l.client(path).SupportsDurable(l.t.Context())
			require.NoError(t, err)
			assert.Equal(t, patched, got)
			assert.Empty(t, l.Subscriptions(), "nothing is left behind")
		})
		inLab(t, func(l *lab) { // every topic is there
			got, err := l.client(path).SupportsDurable(l.t.Context())
			require.NoError(t, err)
			assert.Equal(t, patched, got)
			assert.Empty(t, l.Subscriptions(), "nothing is left behind")
		}, wsxtest.WithAutoCreatedTopics())
	}
}

func TestTheRightToPublishIsAskedForWithoutPublishing(t *testing.T) {
	inLab(t, func(l *lab) {
		c := l.client(patched)
		require.NoError(t, c.CheckPublish(l.t.Context(), "/my/topic"))
		err := c.CheckPublish(l.t.Context(), "/no/such/topic")
		var refused *wsx.ServerError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, 403, refused.Status)
		require.ErrorIs(t, c.CheckPublish(l.t.Context(), ""), wsx.ErrInvalid)
		assert.Empty(t, l.Published())
	})
}
