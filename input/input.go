// Package input provides the zato_wsx input, which receives Zato topics.
package input

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/internal/journal"
	"github.com/zato-connect/zato-connect/internal/tracing"
)

func init() { //nolint:gochecknoinits // how components of Connect are registered
	service.MustRegisterBatchInput("zato_wsx", spec(), construct)
}

// construct makes the input and adds spans. The wrapper for the spans hides that an
// input can be tested, so one more shows it again.
func construct(conf *service.ParsedConfig, res *service.Resources) (service.BatchInput, error) {
	in, err := newInput(conf, res)
	if err != nil {
		return nil, err
	}
	traced, err := tracing.WrapInput(conf, res, in, spanOf)
	if err != nil {
		return nil, err
	}
	return connectionTester{BatchInput: traced, lease: in.lease}, nil
}

type connectionTester struct {
	service.BatchInput

	lease *connection.Lease
}

// ConnectionTest logs in.
func (t connectionTester) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	return t.lease.Test(ctx)
}

// input receives topics. ReadBatch may run while Close does.
type input struct {
	settings
	lease       *connection.Lease
	log         *service.Logger
	metrics     *metrics
	keys        *subKeyCache // nil where no keys are remembered
	inFlight    inFlight
	subscribers []*subscriber
	// journal is nil where there is none, and until the first Connect.
	journal *journal.Journal[acceptedFrame]

	// batches is not buffered: what waits, waits in the clients or in the journal.
	batches chan *batch
	// held has the batch that Connect took.
	held chan *batch
	// retries has what the pipeline rejected.
	retries *retries
	// values are the metadata of the last message. They belong to who reads.
	values []any
	// lost is told when a subscription has no connection, renewed when one has a new
	// key.
	lost    *loss
	renewed chan struct{}
	// attempt is the last one to connect; one Connect runs at a time.
	attempt *attempt
	started sync.Once
	// ctx ends when Close is called.
	ctx     context.Context //nolint:containedctx // the input's own life
	cancel  context.CancelFunc
	running sync.WaitGroup
	closed  sync.Once
}

func newInput(conf *service.ParsedConfig, res *service.Resources) (*input, error) {
	s, err := parse(conf)
	if err != nil {
		return nil, err
	}
	var keys *subKeyCache
	if s.cache != "" {
		if keys, err = newSubKeyCache(res, s.cache, s.cachePrefix); err != nil {
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
		metrics: newMetrics(res.Metrics()),
		batches: make(chan *batch), held: make(chan *batch, 1),
		retries: newRetries(), values: make([]any, len(s.metadata)),
		lost: newLoss(), renewed: make(chan struct{}, 1),
		ctx: life, cancel: end,
	}
	for _, sub := range in.subscriptions {
		r := &subscriber{sub: sub, dedup: newDedup()}
		r.client, err = lease.NewSubscriber(in.prefetch, in.persister(sub.Topic), func() { notify(in.renewed) }, func() {
			r.reconnected.Store(true)
			in.lost.happened()
		})
		if err != nil {
			return nil, err
		}
		in.subscribers = append(in.subscribers, r)
	}
	return in, nil
}

// notify tells who listens to a channel with room for one signal.
func notify(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default: // it is told already
	}
}

// attempt is an attempt to subscribe to every topic.
type attempt struct {
	done chan struct{} // closed when it has ended, with err set
	err  error
}

// Connect opens the journal and subscribes to every topic; after that it waits until
// the clients have restored their connections. It never waits while there is
// something for the pipeline: what an earlier process left in the journal needs no
// connection, and what still comes of a lost one has to be taken before there is
// another.
func (in *input) Connect(ctx context.Context) error {
	if in.ctx.Err() != nil {
		return service.ErrEndOfInput
	}
	if err := in.openJournal(ctx); err != nil {
		return err
	}
	in.lost.over()
	in.started.Do(func() {
		for _, r := range in.subscribers {
			in.running.Go(func() { in.receiveLoop(r) })
		}
		if in.keys != nil {
			in.running.Go(in.syncKeys)
		}
		in.running.Go(in.sampleMetrics)
	})
	current := in.connect()
	select {
	case <-current.done:
		if current.err == nil || !in.hold() {
			return current.err
		}
		return nil
	case b := <-in.batches: // nothing is held, for it was read before
		in.held <- b
		return nil // the attempt goes on, and tells when it fails
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold takes what waits for the pipeline, unless it has something already, and tells
// whether it has.
func (in *input) hold() bool {
	if len(in.held) > 0 {
		return true
	}
	select {
	case b := <-in.batches:
		in.held <- b
		return true
	default:
		return false
	}
}

// connect returns the attempt that is being made, a new one if there is none.
func (in *input) connect() *attempt {
	if in.attempt != nil {
		select {
		case <-in.attempt.done:
		default:
			return in.attempt
		}
	}
	a := &attempt{done: make(chan struct{})}
	in.attempt = a
	in.running.Go(func() {
		a.err = in.subscribeAll(in.ctx)
		if a.err != nil {
			in.lost.happened()
		}
		close(a.done)
	})
	return a
}

func (in *input) subscribeAll(ctx context.Context) error {
	for _, r := range in.subscribers {
		if err := in.subscribe(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// ReadBatch returns what was rejected, or the next frames. A lost connection is told when
// there are none.
//
// It lets other goroutines go first. The engine has just started the one that waits
// for what becomes of the batch before, and drops the acknowledgement of the last
// message where it stops the input hard before that goroutine runs, as read_until does:
// with a quick output in half of all runs, after twice in one of a thousand.
func (in *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	for range 2 {
		runtime.Gosched()
	}
	for {
		fresh, due := in.batches, in.retries.nextRetry()
		if due != nil {
			fresh = nil
		} else if in.hold() {
			return in.emitNew(<-in.held)
		}
		select {
		case <-due:
			return in.emit(in.retries.pop())
		case b := <-fresh:
			return in.emitNew(b)
		case <-in.retries.notify:
		case <-in.lost.told:
			if in.lost.due() {
				return nil, nil, service.ErrNotConnected
			}
		case <-in.ctx.Done():
			return nil, nil, service.ErrEndOfInput
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// emitNew gives a batch for the first time, which counts as the engine's until it is
// settled.
func (in *input) emitNew(b *batch) (service.MessageBatch, service.AckFunc, error) {
	settle, settled := b.settle, in.lost.given(b.messages[0].PubTime)
	b.settle = func() {
		settle()
		settled()
	}
	return in.emit(b)
}

// unsubscribeTimeout bounds the farewell to all subscriptions together.
const unsubscribeTimeout = time.Second

// Close ends the subscriptions and sees to what was read and not taken. The engine
// gives no deadline, so it bounds itself.
func (in *input) Close(ctx context.Context) error {
	in.closed.Do(func() {
		in.cancel()
		in.running.Wait()
		ctx, cancel := context.WithTimeout(ctx, unsubscribeTimeout)
		defer cancel()
		var all sync.WaitGroup
		for _, r := range in.subscribers {
			all.Go(func() { in.shutdown(ctx, r) })
		}
		all.Wait()
		in.lease.Release()
		in.closeJournal()
		in.sample()
		in.inFlight.report(in.log)
	})
	return nil
}
