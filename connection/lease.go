package connection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/wsx"
)

// Lease is one component's share of the connections with its settings. Its methods may be
// called by several goroutines at once.
type Lease struct {
	registry *registry
	manager  *manager
	log      *service.Logger
	released sync.Once
}

// Acquire parses the connection object of a component and returns a lease on the connections
// with these settings. It reads the files that the object names, but does no other I/O and
// starts nothing, so that constructors can call it. The component's Close must call Release.
func Acquire(conf *service.ParsedConfig, res *service.Resources) (*Lease, error) {
	parsed, err := config.ParseConnection(conf)
	if err != nil {
		return nil, err
	}
	r := registryOf(res)
	return &Lease{registry: r, manager: r.acquire(parsed, res), log: res.Logger()}, nil
}

// Release ends the lease. The release of the last lease closes the connections, which takes
// no longer than wsx.Client.Close. Further calls of Release do nothing.
func (l *Lease) Release() {
	l.released.Do(func() { l.registry.release(l.manager) })
}

// AwaitReady connects if need be and waits until calls can be made, but no longer than the
// timeout of the connection. Its error is meant for the engine's Connect; it includes the
// reason why the last attempt failed.
func (l *Lease) AwaitReady(ctx context.Context) error {
	return l.await(ctx, l.manager.pool.awaitReady)
}

// AwaitClient is AwaitReady for a client that NewSubscriber returned.
func (l *Lease) AwaitClient(ctx context.Context, c *wsx.Client) error {
	return l.await(ctx, c.AwaitReady)
}

// await calls ready once. If the credentials were rejected and may change, it calls it again
// every second until the longest back-off has passed. The client tries again as soon as the
// credentials have changed, and nothing could wake the engine from a back-off of its own.
func (l *Lease) await(ctx context.Context, ready func(context.Context) error) error {
	conf := &l.manager.conf.Client
	once := func() error {
		ctx, cancel := context.WithTimeout(ctx, conf.Timeout)
		defer cancel()
		return ready(ctx)
	}
	err := once()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	giveUp := time.NewTimer(conf.MaxBackOff)
	defer giveUp.Stop()
	for credentialsMayChange(conf, err) {
		select {
		case <-tick.C:
			err = once()
		case <-giveUp.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
	return l.TranslateConnect(err)
}

// credentialsMayChange reports whether err is the rejection of credentials that the client
// reads again.
func credentialsMayChange(conf *wsx.Config, err error) bool {
	return errors.Is(err, wsx.ErrCredentials) || errors.Is(err, wsx.ErrLoginRefused) && conf.SecretFunc != nil
}

// Call calls a service on the least busy connection. See wsx.Client.Call.
func (l *Lease) Call(ctx context.Context, call wsx.Call) (*wsx.Response, error) {
	op := operation{verbInvoking, call.Service}
	if call.Service == "" {
		op.verb = "invoking the channel's service"
	}
	var resp *wsx.Response
	took, err := l.withClient(ctx, op, call.Deadline, func(c *wsx.Client) (err error) {
		resp, err = c.Call(ctx, call)
		return err
	})
	c := l.manager.collector
	c.callLatency.Timing(took, c.services.bounded(call.Service), resultOf(err))
	return resp, err
}

// InvokeList invokes a service with a list of requests on the least busy connection. See
// wsx.Client.InvokeList.
func (l *Lease) InvokeList(ctx context.Context, call wsx.ListCall) (wsx.ListResponse, error) {
	m := l.manager
	var list wsx.ListResponse
	op := operation{verbInvoking, call.Service}
	took, err := l.withOwnClient(ctx, op, call.Deadline, func(c *wsx.Client) (err error) {
		list, err = c.InvokeList(ctx, call)
		return err
	})
	if errors.Is(err, wsx.ErrNotOffered) {
		return list, err
	}
	latency, label := m.collector.callLatency, m.collector.services.bounded(call.Service)
	for i := range call.Requests {
		outcome := err
		if err == nil {
			outcome = list.Results[i].Err
		}
		if !errors.Is(outcome, wsx.ErrNotRun) {
			latency.Timing(took, label, resultOf(outcome))
		}
	}
	return list, err
}

// Publish publishes a message on the least busy connection. See wsx.Client.Publish.
func (l *Lease) Publish(ctx context.Context, p wsx.Publication) (string, error) {
	var msgID string
	took, err := l.withClient(ctx, operation{"publishing to topic", p.Topic}, p.Deadline, func(c *wsx.Client) (err error) {
		msgID, err = c.Publish(ctx, p)
		return err
	})
	l.manager.collector.publishLatency.Timing(took, resultOf(err))
	return msgID, err
}

// PublishList publishes a list of messages on the least busy connection. See
// wsx.Client.PublishList. In the metrics, each message has the latency of the list.
func (l *Lease) PublishList(ctx context.Context, list wsx.PublicationList) ([]wsx.PublishResult, error) {
	var results []wsx.PublishResult
	op := operation{"publishing to topic", list.Topic}
	took, err := l.withOwnClient(ctx, op, list.Deadline, func(c *wsx.Client) (err error) {
		results, err = c.PublishList(ctx, list)
		return err
	})
	for i := range list.Messages {
		result := err
		if err == nil {
			result = results[i].Err
		}
		l.manager.collector.publishLatency.Timing(took, resultOf(result))
	}
	return results, err
}

// withClient runs do with the client of the least busy connection. It returns how long that
// took in nanoseconds, the wait for the connection included.
func (l *Lease) withClient(
	ctx context.Context, op operation, deadline time.Time, do func(*wsx.Client) error,
) (took int64, err error) {
	return l.withWeight(ctx, op, deadline, 1, do)
}

// withOwnClient is withClient for a list. Nothing else is sent on its connection meanwhile.
func (l *Lease) withOwnClient(
	ctx context.Context, op operation, deadline time.Time, do func(*wsx.Client) error,
) (took int64, err error) {
	return l.withWeight(ctx, op, deadline, l.manager.pool.perConnection, do)
}

func (l *Lease) withWeight(
	ctx context.Context, op operation, deadline time.Time, weight int, do func(*wsx.Client) error,
) (took int64, err error) {
	m := l.manager
	start := m.collector.startCall()
	member, err := m.pool.acquire(ctx, deadline, weight)
	if err == nil {
		err = do(member.client)
		m.pool.release(member, weight)
	} else {
		err = &wsx.CallError{Op: op.String(), SendStatus: wsx.NotSent, Err: err}
	}
	return m.collector.endCall(start), err
}

const verbInvoking = "invoking"

// operation names a call in the error of one that got no connection.
type operation struct{ verb, target string }

func (o operation) String() string {
	if o.target == "" {
		return o.verb
	}
	return fmt.Sprintf("%s %q", o.verb, o.target)
}

// NewSubscriber returns a client for a topic, which has a connection of its own, so that a slow
// pipeline does not delay answers and a slow service does not delay messages. The log names the
// topic. The client holds at most prefetch frames. persist is wsx.Config.Persist and may be nil.
// renewed is called when a subscription has a new key, lost when the connection is lost; neither
// may block. The caller must close the client.
func (l *Lease) NewSubscriber(
	topic string, prefetch int, persist func(raw []byte) (release func()), renewed, lost func(),
) (*wsx.Client, error) {
	return l.manager.newClient(roleSubscription, topic, func(c *wsx.Config) {
		c.PrefetchCount, c.Persist = prefetch, persist
		c.OnSubscribed = func(wsx.Subscription) { renewed() }
		c.OnState = func(state wsx.State, _ error) {
			if state == wsx.Draining {
				lost()
			}
		}
	})
}

// Test implements a component's ConnectionTest: it logs in. It uses a client of its own
// because the engine does not close a component that it only tests.
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
