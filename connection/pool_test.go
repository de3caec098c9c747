package connection

import (
	"context"
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
		server := wsxtest.NewServer(wsxtest.WithNetwork(network), wsxtest.WithTranscriptServer())
		require.NoError(t, server.Start())
		defer server.Close()
		p := &testPool{t: t, server: server}
		p.pool = newPool(limit, 1, func() (*wsx.Client, error) {
			return wsx.New(wsx.Config{
				Address: server.URL("/my.wsx"), Username: "user1", Secret: "secret1", Dial: network.Dial,
				MaxBackOff: 5 * time.Second, // a server that is back is found before any call is given up
			})
		})
		defer p.close()
		test(p)
	})
}

// do calls as a lease does.
func (p *pool) do(ctx context.Context, use func(*wsx.Client) error) error {
	m, err := p.acquire(ctx, time.Time{})
	if err != nil {
		return err
	}
	defer p.release(m)
	return use(m.client)
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
		assert.Equal(t, 1, p.server.SessionsOpened(), "opened when needed")
		assert.Equal(t, time.Second, calls(t, p.pool, 4))
		assert.Equal(t, 4, p.server.SessionsOpened())
		assert.Equal(t, 2*time.Second, calls(t, p.pool, 8))
		assert.Equal(t, 4, p.server.SessionsOpened())
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

func TestCallsDoNotWaitBehindASlowOne(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		calls(t, p.pool, 2) // both are open
		slow := make(chan error, 1)
		go func() { slow <- sleep(t, p.pool, 20) }()
		synctest.Wait()
		assert.Equal(t, 5*time.Second, calls(t, p.pool, 5), "all on the other connection")
		require.NoError(t, <-slow)
	})
}

func TestCallsDoNotWaitBehindOneThatWasGivenUp(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		calls(t, p.pool, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		given := make(chan error, 1)
		go func() {
			given <- p.do(ctx, func(c *wsx.Client) error {
				_, err := c.Invoke(ctx, "my.sleep", map[string]float64{"seconds": 20})
				return err
			})
		}()
		synctest.Wait()
		assert.Equal(t, 5*time.Second, calls(t, p.pool, 5), "the server still works on it")
		require.ErrorIs(t, <-given, context.DeadlineExceeded)
	})
}

func TestCallWaitsForNoLongerThanOneThatWasGivenUpTakes(t *testing.T) {
	inPool(t, 1, func(p *testPool) {
		t := p.t
		require.NoError(t, sleep(t, p.pool, 0))
		given, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, p.do(given, func(c *wsx.Client) error {
			_, err := c.Invoke(given, "my.sleep", map[string]float64{"seconds": 3})
			return err
		}))
		began := time.Now()
		require.NoError(t, sleep(t, p.pool, 0), "nobody is left to give the connection back")
		assert.Equal(t, 2*time.Second, time.Since(began))
	})
}

func TestWaitingCallsTakeTheirTurns(t *testing.T) {
	inPool(t, 1, func(p *testPool) {
		t := p.t
		ended := make(chan int, 10)
		for i := range 10 {
			go func() {
				assert.NoError(t, sleep(t, p.pool, 1))
				ended <- i
			}()
			synctest.Wait()
		}
		for i := range 10 {
			assert.Equal(t, i, <-ended)
		}
	})
}

func TestWaitingIsBoundedAndSaysWhatFor(t *testing.T) {
	inPool(t, 1, func(p *testPool) {
		t := p.t
		slow := make(chan error, 1)
		go func() { slow <- sleep(t, p.pool, 20) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := p.do(ctx, func(*wsx.Client) error { return nil })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "no connection was free")
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		assert.Empty(t, p.waiters)
		require.NoError(t, <-slow)
	})
}

func TestWaitingCallsAreToldWhenThePoolIsClosed(t *testing.T) {
	inPool(t, 1, func(p *testPool) {
		t := p.t
		done := make(chan error, 5)
		for range 5 {
			go func() { done <- sleep(t, p.pool, 20) }()
		}
		synctest.Wait()
		p.close()
		for range 5 {
			require.ErrorIs(t, <-done, wsx.ErrClosed)
		}
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
		assert.Equal(t, 8, p.server.SessionsOpened(), "those that waited are spread")
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
