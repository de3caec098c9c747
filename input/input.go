// Package input provides the zato_wsx input, which receives Zato topics.
package input

import (
	"context"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/internal/journal"
	"github.com/zato-connect/zato-connect/wsx"
)

func init() { //nolint:gochecknoinits // how components of Connect are registered
	service.MustRegisterBatchInput("zato_wsx", spec(), construct)
}

// construct makes the input and adds what the engine offers every input. The
// tracing wrapper hides that an input can be tested, so one more shows it again.
func construct(conf *service.ParsedConfig, res *service.Resources) (service.BatchInput, error) {
	in, err := newInput(conf, res)
	if err != nil {
		return nil, err
	}
	retried, err := service.AutoRetryNacksBatchedToggled(conf, in)
	if err != nil {
		return nil, err
	}
	traced, err := conf.WrapBatchInputExtractTracingSpanMapping("zato_wsx", retried)
	if err != nil {
		return nil, err
	}
	return testable{BatchInput: traced, lease: in.lease}, nil
}

type testable struct {
	service.BatchInput

	lease *connection.Lease
}

// ConnectionTest logs in.
func (t testable) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	return t.lease.Test(ctx)
}

// input receives topics. ReadBatch may run while Close does.
type input struct {
	settings
	lease   *connection.Lease
	log     *service.Logger
	repeats *service.MetricCounter
	keys    *keyring // nil where no keys are remembered
	ledger  ledger
	readers []*reader
	// journal is nil where there is none, and until the first Connect.
	journal *journal.Journal[delivery]

	// batches is not buffered: what waits, waits in the clients or in the journal.
	batches chan batch
	// lost is told when a subscription has no connection any more, renewed when one
	// has a new key.
	lost, renewed chan struct{}
	keeping       sync.Once
	// life ends when Close is called.
	life    context.Context //nolint:containedctx // the input's own life
	end     context.CancelFunc
	running sync.WaitGroup
	closed  sync.Once
}

func newInput(conf *service.ParsedConfig, res *service.Resources) (*input, error) {
	s, err := parse(conf)
	if err != nil {
		return nil, err
	}
	var keys *keyring
	if s.cache != "" {
		if keys, err = newKeyring(res, s.cache, s.cachePrefix); err != nil {
			return nil, err
		}
	}
	lease, err := connection.Acquire(conf, res)
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.Background()) //nolint:forbidigo // the input's own life begins here
	in := &input{
		settings: *s, lease: lease, log: res.Logger(), keys: keys,
		repeats: res.Metrics().NewCounter("zato_wsx_repeats_dropped"),
		batches: make(chan batch), lost: make(chan struct{}, 1), renewed: make(chan struct{}, 1),
		life: life, end: end,
	}
	for _, sub := range in.subscriptions {
		client, err := lease.Subscriber(in.prefetch, func(wsx.Subscription) { signal(in.renewed) })
		if err != nil {
			return nil, err
		}
		in.readers = append(in.readers, &reader{sub: sub, client: client, seen: newSeen()})
	}
	return in, nil
}

// signal tells who listens to a channel with room for one signal.
func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default: // it is told already
	}
}

// Connect opens the journal, subscribes to every topic and starts to receive; after
// that it waits until the clients have restored their connections. What an earlier
// process left in the journal needs no connection.
func (in *input) Connect(ctx context.Context) error {
	if in.life.Err() != nil {
		return service.ErrEndOfInput
	}
	if err := in.openJournal(ctx); err != nil {
		return err
	}
	select {
	case <-in.lost: // said of connections that are back, or are about to be missed
	default:
	}
	if err := in.subscribeAll(ctx); err != nil {
		if !in.waiting() {
			return err
		}
		in.log.Warnf("What the journal holds is delivered without a connection to Zato: %v", err)
		signal(in.lost)
		return nil
	}
	in.keeping.Do(func() {
		if in.keys != nil {
			in.running.Go(in.keepKeys)
		}
	})
	return nil
}

func (in *input) subscribeAll(ctx context.Context) error {
	for _, r := range in.readers {
		if err := in.subscribe(ctx, r); err != nil {
			return err
		}
		r.start.Do(func() { in.running.Go(func() { in.pump(r) }) })
	}
	return nil
}

// ReadBatch returns the next frame. It does not speak of a lost connection while
// the journal has something for the pipeline.
func (in *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	lost := in.lost
	if in.waiting() {
		lost = nil
	}
	select {
	case b := <-in.batches:
		b.handedOver()
		return b.messages, b.ack, nil
	case <-lost:
		return nil, nil, service.ErrNotConnected
	case <-in.life.Done():
		return nil, nil, service.ErrEndOfInput
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// farewellLimit bounds the farewell to all subscriptions together.
const farewellLimit = time.Second

// Close ends the subscriptions and sees to what was read and not taken. The engine
// gives no deadline, so it bounds itself.
func (in *input) Close(ctx context.Context) error {
	in.closed.Do(func() {
		in.end()
		in.running.Wait()
		ctx, cancel := context.WithTimeout(ctx, farewellLimit)
		defer cancel()
		var all sync.WaitGroup
		for _, r := range in.readers {
			all.Go(func() { in.finish(ctx, r) })
		}
		all.Wait()
		in.lease.Release()
		in.closeJournal()
		in.ledger.report(in.log)
	})
	return nil
}
