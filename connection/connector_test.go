package connection_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/wsx"
)

func TestConnectorReturnsOneErrorAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		fail := func(context.Context) error { return refused }
		var c Connector
		start := time.Now()
		require.ErrorIs(t, c.Connect(t.Context(), fail), refused)
		assert.Zero(t, time.Since(start))
		require.ErrorIs(t, c.Connect(t.Context(), fail), refused)
		assert.Equal(t, time.Minute, time.Since(start))

		attempts := 0
		require.NoError(t, c.Connect(t.Context(), func(context.Context) error {
			if attempts++; attempts < 3 {
				return refused
			}
			return nil
		}))
		assert.Less(t, time.Since(start), 2*time.Minute)
	})
}

func TestConnectorReturnsWhenTheComponentStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Connector
		ctx, cancel := context.WithCancel(t.Context())
		closed := func(context.Context) error { return wsx.ErrClosed }
		require.ErrorIs(t, c.Connect(ctx, closed), wsx.ErrClosed)
		require.ErrorIs(t, c.Connect(ctx, closed), wsx.ErrClosed, "without a wait")
		refused := errors.New("refused")
		require.ErrorIs(t, c.Connect(ctx, func(context.Context) error { return refused }), refused)
		time.AfterFunc(time.Millisecond, cancel)
		start := time.Now()
		require.ErrorIs(t, c.Connect(ctx, func(context.Context) error { return refused }), refused)
		assert.Equal(t, time.Millisecond, time.Since(start))
	})
}
