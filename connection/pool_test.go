package connection

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// testPool is a pool with one call per connection, and its server.
type testPool struct {
	*pool

	t      *testing.T
	server *wsxtest.Server

	opened      int        // clients that the pool has made
	unreachable sync.Map   // the clients, by number from zero, that cannot reach the server
	secret      wsx.Secret // of the next clients
}

// inPool runs a test with a pool of up to limit connections to a server in memory, in virtual
// time.
func inPool(t *testing.T, limit int, test func(*testPool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := wsxtest.NewNetwork()
		server := wsxtest.NewServer(wsxtest.WithNetwork(network), wsxtest.WithTranscriptServer())
		require.NoError(t, server.Start())
		defer server.Close()
		p := &testPool{t: t, server: server, secret: "secret1"}
		p.pool = newPool(limit, 1, func(adapt func(*wsx.Config)) (*wsx.Client, error) {
			number := p.opened
			p.opened++
			conf := wsx.Config{
				Address: server.URL("/my.wsx"), Username: "user1", Secret: p.secret,
				CallsPerConnection: 2,               // the pool decides how many
				MaxBackOff:         5 * time.Second, // a client finds a restarted server before calls time out
			}
			conf.Dial = func(ctx context.Context, protocol, addr string) (net.Conn, error) {
				if _, unreachable := p.unreachable.Load(number); unreachable {
					return nil, errors.New("unreachable")
				}
				return network.Dial(ctx, protocol, addr)
			}
			adapt(&conf)
			return wsx.New(conf)
		})
		defer p.close()
		test(p)
	})
}

// do calls as a lease does.
func (p *pool) do(ctx context.Context, call func(*wsx.Client) error) error {
	m, err := p.acquire(ctx, time.Time{}, 1)
	if err != nil {
		return &wsx.CallError{Op: "calling", SendStatus: wsx.NotSent, Err: err}
	}
	defer p.release(m, 1)
	return call(m.client)
}

// sleep calls a service that takes some seconds, until ctx ends.
func sleep(ctx context.Context, p *pool, seconds float64) error {
	return p.do(ctx, func(c *wsx.Client) error {
		_, err := c.Invoke(ctx, "my.sleep", map[string]float64{"seconds": seconds})
		return err
	})
}

// goSleep calls sleep in the background, and waits until the call is sent or in the queue.
func goSleep(t *testing.T, p *pool, seconds float64) (done <-chan error) {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- sleep(t.Context(), p, seconds) }()
	synctest.Wait()
	return result
}

// calls makes n calls of one second at once and returns how long they took together.
func calls(t *testing.T, p *pool, n int) time.Duration {
	t.Helper()
	start := time.Now()
	done := make(chan error, n)
	for range n {
		go func() { done <- sleep(t.Context(), p, 1) }()
	}
	for range n {
		require.NoError(t, <-done)
	}
	return time.Since(start)
}

func TestCallsUseMoreConnectionsUpToTheLimit(t *testing.T) {
	inPool(t, 4, func(p *testPool) {
		t := p.t
		require.NoError(t, sleep(t.Context(), p.pool, 1))
		assert.Equal(t, 1, p.server.SessionsOpened(), "opened when needed")
		assert.Equal(t, time.Second, calls(t, p.pool, 4))
		assert.Equal(t, 4, p.server.SessionsOpened())
		assert.Equal(t, 2*time.Second, calls(t, p.pool, 8))
		assert.Equal(t, 4, p.server.SessionsOpened())
	})
}

func TestCallsAreServedWhileAnotherIsSlow(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		slow := goSleep(t, p.pool, 20)
		for range 5 {
			assert.Equal(t, time.Second, calls(t, p.pool, 1))
		}
		require.NoError(t, <-slow)
	})
}

func TestCallsDoNotWaitBehindASlowOne(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		calls(t, p.pool, 2) // opens both connections
		slow := goSleep(t, p.pool, 20)
		assert.Equal(t, 5*time.Second, calls(t, p.pool, 5), "all on the other connection")
		require.NoError(t, <-slow)
	})
}

func TestCallsDoNotWaitBehindAnAbandonedOne(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		calls(t, p.pool, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		abandoned := make(chan error, 1)
		go func() { abandoned <- sleep(ctx, p.pool, 20) }()
		synctest.Wait()
		assert.Equal(t, 5*time.Second, calls(t, p.pool, 5), "the server still works on the abandoned call")
		require.ErrorIs(t, <-abandoned, context.DeadlineExceeded)
	})
}

func TestCallIsSentWhenTheServerHasAnsweredAnAbandonedOne(t *testing.T) {
	inPool(t, 1, func(p *testPool) {
		t := p.t
		require.NoError(t, sleep(t.Context(), p.pool, 0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, sleep(ctx, p.pool, 3))
		start := time.Now()
		require.NoError(t, sleep(t.Context(), p.pool, 0), "no caller is left that could release the connection")
		assert.Equal(t, 2*time.Second, time.Since(start))
	})
}

func TestNothingIsSentBehindAnAbandonedCall(t *testing.T) {
	inPool(t, 1, func(p *testPool) {
		t := p.t
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, sleep(ctx, p.pool, 10))
		later, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := sleep(later, p.pool, 0)
		require.ErrorContains(t, err, "no connection was free")
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		assert.Equal(t, 1, p.server.Invocations("my.sleep"))
	})
}

// queueCallers starts callers one after the other. It returns a channel of their numbers, in the
// order in which their calls end.
func (p *testPool) queueCallers(n int) <-chan int {
	p.t.Helper()
	ended := make(chan int, n)
	for i := range n {
		go func() {
			assert.NoError(p.t, sleep(p.t.Context(), p.pool, 1))
			ended <- i
		}()
		synctest.Wait()
	}
	return ended
}

func TestQueueIsServedInOrderOfArrival(t *testing.T) {
	inPool(t, 1, func(p *testPool) {
		t := p.t
		ended := p.queueCallers(10)
		for i := range 10 {
			assert.Equal(t, i, <-ended)
		}
	})
}

func TestQueueIsServedInOrderOfArrivalAfterAReconnect(t *testing.T) {
	inPool(t, 1, func(p *testPool) {
		t := p.t
		calls(t, p.pool, 1)
		p.server.Stop()
		synctest.Wait()
		ended := p.queueCallers(10)
		require.NoError(t, p.server.Restart())
		for i := range 10 {
			assert.Equal(t, i, <-ended)
		}
	})
}

func TestFirstConnectionThatIsReadyServesTheFirstCaller(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		calls(t, p.pool, 2)
		p.server.Stop()
		synctest.Wait()
		p.unreachable.Store(0, true)
		first := goSleep(t, p.pool, 1)
		second := goSleep(t, p.pool, 1)
		require.NoError(t, p.server.Restart())
		start := time.Now()
		require.NoError(t, <-first)
		elapsed := time.Since(start)
		assert.Less(t, elapsed, 7*time.Second, "the second client connects within its back-off of 5 seconds")
		require.NoError(t, <-second)
		assert.Equal(t, elapsed+time.Second, time.Since(start))
		assert.False(t, p.members[0].client.Connected())
	})
}

func TestAwaitReadyReturnsWithTheFirstConnectionThatIsReady(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		calls(t, p.pool, 2)
		p.server.Stop()
		synctest.Wait()
		p.unreachable.Store(0, true)
		require.NoError(t, p.server.Restart())
		start := time.Now()
		require.NoError(t, p.awaitReady(t.Context()))
		assert.Less(t, time.Since(start), 6*time.Second)
	})
}

func TestAwaitReadyDoesNotWaitForAFreeConnection(t *testing.T) {
	inPool(t, 1, func(p *testPool) {
		t := p.t
		slow := goSleep(t, p.pool, 20)
		start := time.Now()
		require.NoError(t, p.awaitReady(t.Context()))
		assert.Zero(t, time.Since(start))
		require.NoError(t, <-slow)
	})
}

func TestAwaitReadyOpensOneConnection(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		ready := make(chan error, 5)
		for range 5 {
			go func() { ready <- p.awaitReady(t.Context()) }()
		}
		for range 5 {
			require.NoError(t, <-ready)
		}
		assert.Equal(t, 1, p.server.SessionsOpened())
	})
}

func TestReleasedConnectionServesTheCallerForWhichAnotherIsBeingOpened(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		p.unreachable.Store(1, true)
		first := goSleep(t, p.pool, 1)
		start := time.Now()
		second := goSleep(t, p.pool, 1)
		require.NoError(t, <-first)
		require.NoError(t, <-second)
		assert.Equal(t, 2*time.Second, time.Since(start))
		assert.Equal(t, 2, p.opened)
	})
}

func TestWaitForAFreeConnectionEndsWithItsContext(t *testing.T) {
	inPool(t, 1, func(p *testPool) {
		t := p.t
		slow := goSleep(t, p.pool, 20)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := p.do(ctx, func(*wsx.Client) error { return nil })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "no connection was free")
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		assert.Empty(t, p.queue)
		require.NoError(t, <-slow)
	})
}

func TestWaitForAConnectionEndsWithTheReasonWhyThereIsNone(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		p.unreachable.Store(0, true)
		start := time.Now()
		_, err := p.acquire(t.Context(), start.Add(time.Second), 1)
		require.ErrorIs(t, err, wsx.ErrNotConnected)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "unreachable")
		assert.Equal(t, time.Second, time.Since(start))

		_, err = p.acquire(t.Context(), time.Time{}, 1)
		require.ErrorIs(t, err, wsx.ErrNotConnected)
		assert.Equal(t, time.Second+wsx.DefaultCallTimeout, time.Since(start))
		assert.Empty(t, p.queue)
	})
}

func TestRejectedLoginFailsTheQueueAtOnce(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		p.secret = "wrong"
		start := time.Now()
		done := make(chan error, 5)
		for range 5 {
			go func() { done <- sleep(t.Context(), p.pool, 1) }()
		}
		for range 5 {
			err := <-done
			require.ErrorIs(t, err, wsx.ErrLoginRefused)
			require.ErrorIs(t, err, wsx.ErrNotConnected)
			assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		}
		require.ErrorIs(t, sleep(t.Context(), p.pool, 1), wsx.ErrLoginRefused, "while the client waits for its next attempt")
		require.ErrorIs(t, p.awaitReady(t.Context()), wsx.ErrLoginRefused)
		assert.Zero(t, time.Since(start))
		assert.Equal(t, 1, p.opened)
	})
}

func TestClosingThePoolFailsTheQueue(t *testing.T) {
	inPool(t, 1, func(p *testPool) {
		t := p.t
		done := make(chan error, 5)
		for range 5 {
			go func() { done <- sleep(t.Context(), p.pool, 20) }()
		}
		synctest.Wait()
		p.close()
		for range 5 {
			require.ErrorIs(t, <-done, wsx.ErrClosed)
		}
	})
}

func TestIdleConnectionsAreClosedExceptOne(t *testing.T) {
	inPool(t, 4, func(p *testPool) {
		t := p.t
		require.NoError(t, sleep(t.Context(), p.pool, 1))
		calls(t, p.pool, 4)
		assert.Equal(t, 4, p.server.Connections())
		<-time.After(2 * idleLimit)
		synctest.Wait()
		assert.Equal(t, 1, p.server.Connections())
		assert.Equal(t, time.Second, calls(t, p.pool, 4))
	})
}

func TestIdleConnectionStaysWhileAnotherCannotConnect(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		calls(t, p.pool, 2)
		p.server.Stop()
		synctest.Wait()
		p.unreachable.Store(0, true)
		require.NoError(t, p.server.Restart())
		<-time.After(2 * idleLimit)
		synctest.Wait()
		assert.True(t, isConnected(p))
		assert.Len(t, p.members, 1)
	})
}

func TestClientsStayWhileCallersWaitForTheServer(t *testing.T) {
	inPool(t, 4, func(p *testPool) {
		t := p.t
		calls(t, p.pool, 4)
		p.server.Stop()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 2*idleLimit)
		defer cancel()
		waiting := make(chan error, 1)
		go func() { waiting <- sleep(ctx, p.pool, 1) }()
		<-time.After(2*idleLimit - time.Second)
		synctest.Wait()
		assert.Len(t, p.members, 4)
		require.ErrorIs(t, <-waiting, wsx.ErrNotConnected)
	})
}

func TestCallersShareOneAttemptToConnectWhileThereIsNoServer(t *testing.T) {
	inPool(t, 8, func(p *testPool) {
		t := p.t
		p.server.Stop()
		done := make(chan error, 20)
		for range 20 {
			go func() { done <- sleep(t.Context(), p.pool, 1) }()
		}
		<-time.After(5 * time.Second)
		synctest.Wait()
		assert.Len(t, p.members, 1)
		assert.False(t, isConnected(p))
		require.NoError(t, p.server.Restart())
		for range 20 {
			require.NoError(t, <-done)
		}
		assert.Equal(t, 8, p.server.SessionsOpened(), "the calls that waited are spread over connections")
		assert.True(t, isConnected(p))
	})
}

func TestClosedPoolFailsCalls(t *testing.T) {
	inPool(t, 2, func(p *testPool) {
		t := p.t
		calls(t, p.pool, 2)
		p.close()
		p.close()
		require.ErrorIs(t, sleep(t.Context(), p.pool, 1), wsx.ErrClosed)
		require.ErrorIs(t, p.awaitReady(t.Context()), wsx.ErrClosed)
		assert.False(t, isConnected(p))
		synctest.Wait()
		assert.Zero(t, p.server.Connections())
	})
}

func TestErrorOfANewClientIsReturned(t *testing.T) {
	p := newPool(1, 1, func(func(*wsx.Config)) (*wsx.Client, error) { return nil, errors.New("no client") })
	require.ErrorContains(t, sleep(t.Context(), p, 1), "no client")
	require.ErrorContains(t, p.awaitReady(t.Context()), "no client")
	p.close()
}
