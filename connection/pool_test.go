package connection

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// testPool is a pool and the server that it is for.
type testPool struct {
	*pool

	t      *testing.T
	server *wsxtest.Server
}

// inPool runs a test with a pool on a server in memory, in virtual time.
func inPool(t *testing.T, limit int, test func(*testPool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := wsxtest.NewNetwork()
		server := wsxtest.NewServer(wsxtest.WithNetwork(network), wsxtest.WithRecordedServer())
		require.NoError(t, server.Start())
		defer server.Close()
		p := &testPool{t: t, server: server}
		p.pool = newPool(limit, 1, func() (*wsx.Client, error) {
			return wsx.New(wsx.Config{
				Address: server.URL("/my.wsx"), Username: "user1", Secret: "secret1", Dial: network.Dial,
			})
		})
		defer p.close()
		test(p)
	})
}

func sleep(t *testing.T, p *pool, seconds float64) error {
	t.Helper()
	return p.do(t.Context(), func(c *wsx.Client) error {
		_, err := c.Invoke(t.Context(), "my.sleep", map[string]float64{"seconds": seconds})
		return err
	})
}

// calls runs n calls of a second at once and returns how long they took together.
func calls(t *testing.T, p *pool, n int) time.Duration {
	t.Helper()
	began := time.Now()
	done := make(chan error, n)
	for range n {
		go func() { done <- sleep(t, p, 1) }()
	}
	for range n {
		require.NoError(t, <-done)
	}
	return time.Since(began)
}

func TestCallsScaleWithConnectionsUpToTheLimit(t *testing.T) {
	inPool(t, 4, func(p *testPool) {
		t := p.t
		require.NoError(t, sleep(t, p.pool, 1))
		assert.Equal(t, 1, p.server.Opened(), "opened when needed")
		assert.Equal(t, time.Second, calls(t, p.pool, 4))
		assert.Equal(t, 4, p.server.Opened())
		assert.Equal(t, 2*time.Second, calls(t, p.pool, 8))
		assert.Equal(t, 4, p.server.Opened())
	})
}

func TestSlowCallHoldsUpNoOther(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		slow := make(chan error, 1)
		go func() { slow <- sleep(t, p.pool, 20) }()
		synctest.Wait()
		for range 5 {
			assert.Equal(t, time.Second, calls(t, p.pool, 1))
		}
		require.NoError(t, <-slow)
	})
}

func TestIdleConnectionsAreClosedButForOne(t *testing.T) {
	inPool(t, 4, func(p *testPool) {
		t := p.t
		require.NoError(t, sleep(t, p.pool, 1))
		calls(t, p.pool, 4)
		assert.Equal(t, 4, p.server.Connections())
		<-time.After(2 * idleLimit)
		synctest.Wait()
		assert.Equal(t, 1, p.server.Connections())
		assert.Equal(t, time.Second, calls(t, p.pool, 4))
	})
}

func TestConnectionsAreNotMultipliedWhileThereIsNoServer(t *testing.T) {
	inPool(t, 8, func(p *testPool) {
		t := p.t
		p.server.Stop()
		done := make(chan error, 20)
		for range 20 {
			go func() { done <- sleep(t, p.pool, 1) }()
		}
		<-time.After(5 * time.Second)
		assert.Len(t, p.members, 1)
		assert.False(t, p.connected())
		require.NoError(t, p.server.Restart())
		for range 20 {
			require.NoError(t, <-done)
		}
		assert.Equal(t, 8, p.server.Opened(), "those that waited are spread")
		assert.True(t, p.connected())
	})
}

func TestClosedPoolRefuses(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		calls(t, p.pool, 2)
		p.close()
		p.close()
		require.ErrorIs(t, sleep(t, p.pool, 1), wsx.ErrClosed)
		assert.False(t, p.connected())
		synctest.Wait()
		assert.Zero(t, p.server.Connections())
	})
}

func TestFaultOfANewClientIsReturned(t *testing.T) {
	p := newPool(1, 1, func() (*wsx.Client, error) { return nil, errors.New("no client") })
	require.ErrorContains(t, sleep(t, p, 1), "no client")
	p.close()
}
