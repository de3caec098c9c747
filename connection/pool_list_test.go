package connection

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCallsDoNotWaitBehindAList(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		p.perConnection = 2
		calls(t, p.pool, 3) // opens both connections
		list := make(chan time.Duration, 1)
		start := time.Now()
		go func() {
			m, err := p.acquire(t.Context(), time.Time{}, p.perConnection)
			assert.NoError(t, err)
			time.Sleep(20 * time.Second) //nolint:forbidigo // the time is virtual
			p.release(m, p.perConnection)
			list <- time.Since(start)
		}()
		synctest.Wait()
		assert.Equal(t, 8*time.Second, calls(t, p.pool, 8), "all on the other connection")
		assert.Equal(t, 20*time.Second, <-list)
		assert.Equal(t, time.Second, calls(t, p.pool, 2), "both are free again")
	})
}

func TestListOpensAConnectionAndWaitsInTheQueueLikeACall(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		require.NoError(t, sleep(t.Context(), p.pool, 0))
		slow := goSleep(t, p.pool, 20)
		start := time.Now()
		for range 2 {
			m, err := p.acquire(t.Context(), time.Time{}, p.perConnection)
			require.NoError(t, err)
			assert.Zero(t, time.Since(start), "another connection may be opened")
			p.release(m, p.perConnection)
		}
		assert.Equal(t, 2, p.server.SessionsOpened())
		require.NoError(t, <-slow)
	})
}

// TestMoreThanOneCallOnAConnectionWaitsBehindASlowOne shows why calls_per_connection is 1 by
// default (docs/adr/0018-a-list-is-as-long-as-its-service-is-fast.md).
func TestMoreThanOneCallOnAConnectionWaitsBehindASlowOne(t *testing.T) {
	for perConnection, longest := range map[int]time.Duration{1: 3 * time.Second, 2: 20 * time.Second} {
		inPool(t, 2, func(p *testPool) {
			t := p.t
			p.perConnection = perConnection
			calls(t, p.pool, 3) // opens both connections
			slow := goSleep(t, p.pool, 20)
			took := calls(t, p.pool, 3)
			assert.InDelta(t, longest, took, float64(2*time.Second), "calls_per_connection: %d", perConnection)
			require.NoError(t, <-slow)
		})
	}
}
