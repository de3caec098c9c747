package connection

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/wsx"
)

// Lease is one component's share in the connections of its settings. Its
// methods may be called at once from any goroutine.
type Lease struct {
	registry *registry
	manager  *manager
	log      *service.Logger
	released sync.Once
}

// Acquire reads the connection object of a component and shares the connections
// of its settings. It does no I/O and starts nothing, so constructors may call
// it; Release belongs into Close.
func Acquire(conf *service.ParsedConfig, res *service.Resources) (*Lease, error) {
	parsed, err := config.ParseConnection(conf)
	if err != nil {
		return nil, err
	}
	r := registryOf(res)
	return &Lease{registry: r, manager: r.acquire(parsed, res), log: res.Logger()}, nil
}

// Release gives the share back. The last one closes the connections, which takes
// no longer than wsx.Client.Close. It may be called several times.
func (l *Lease) Release() {
	l.released.Do(func() { l.registry.release(l.manager) })
}

// AwaitReady connects if need be and waits until calls can be made, no longer than the
// connection's time-out. Its error is for the engine's Connect and says what the
// last attempt failed of.
func (l *Lease) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.manager.conf.Client.Timeout)
	defer cancel()
	return l.TranslateConnect(l.manager.pool.awaitReady(ctx))
}

// AwaitClient is Ready for a client of Subscriber.
func (l *Lease) AwaitClient(ctx context.Context, c *wsx.Client) error {
	ctx, cancel := context.WithTimeout(ctx, l.manager.conf.Client.Timeout)
	defer cancel()
	return l.TranslateConnect(c.AwaitReady(ctx))
}

// Connected tells whether there is a connection for calls at this moment.
func (l *Lease) Connected() bool { return l.manager.pool.connected() }

// Call calls a service on the least busy connection. See wsx.Client.Call.
func (l *Lease) Call(ctx context.Context, call wsx.Call) (*wsx.Response, error) {
	meter := l.manager.collector
	resp, took, err := withClient(ctx, l.manager, call.Deadline, (*wsx.Client).Call, call)
	meter.callLatency.Timing(took, meter.serviceLabels.bounded(call.Service), resultOf(err))
	return resp, err
}

// Publish publishes a message on the least busy connection. See
// wsx.Client.Publish.
func (l *Lease) Publish(ctx context.Context, p wsx.Publication) (string, error) {
	msgID, took, err := withClient(ctx, l.manager, p.Deadline, (*wsx.Client).Publish, p)
	l.manager.collector.publishLatency.Timing(took, resultOf(err))
	return msgID, err
}

// withClient has the best client do something, and returns how long that and the waiting for
// it took, in nanoseconds.
func withClient[A, R any](
	ctx context.Context, m *manager, deadline time.Time,
	do func(*wsx.Client, context.Context, A) (R, error), what A,
) (result R, took int64, err error) {
	began := m.collector.startCall()
	taken, err := m.pool.acquire(ctx, deadline)
	if err == nil {
		result, err = do(taken.client, ctx, what)
		m.pool.release(taken)
	}
	return result, m.collector.endCall(began), err
}

// NewSubscriber returns a client with a connection of its own, so that a slow
// pipeline holds up no answers and a slow service no messages. At most prefetch
// frames wait in it; keep, which may be nil, is wsx.Config's; renewed is called when a
// subscription has a new key, and lost when the connection is. Neither of these may
// block. The caller closes the client.
func (l *Lease) NewSubscriber(
	prefetch int, keep func(raw []byte) (release func()), renewed, lost func(),
) (*wsx.Client, error) {
	return l.manager.newClient(roleSubscription, func(c *wsx.Config) {
		c.PrefetchCount, c.Persist = prefetch, keep
		c.OnSubscribed = func(wsx.Subscription) { renewed() }
	}, lost)
}

// Test is what a component's ConnectionTest does: log in, on a connection of its
// own, for the engine does not close what it only tests.
func (l *Lease) Test(ctx context.Context) service.ConnectionTestResults {
	client, err := wsx.New(l.manager.conf.Client)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, l.manager.conf.Client.Timeout)
		defer cancel()
		err = errors.Join(client.AwaitReady(ctx), client.Close())
	}
	if err != nil {
		return service.ConnectionTestFailed(err).AsList()
	}
	return service.ConnectionTestSucceeded().AsList()
}
