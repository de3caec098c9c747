// Package input provides two inputs: zato_wsx receives Zato topics, and zato_wsx_requests answers requests of Zato
// services.
package input

import (
	"context"
	"errors"
	"runtime"
	"strings"
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

// construct builds the input and wraps it for tracing. The wrapper has no connection test, so construct adds it
// again.
func construct(conf *service.ParsedConfig, res *service.Resources) (service.BatchInput, error) {
	in, err := newInput(conf, res)
	if err != nil {
		return nil, err
	}
	traced, err := tracing.WrapInput(conf, res, in, spanOf)
	if err != nil {
		return nil, err
	}
	return struct {
		service.BatchInput
		connectionTester
	}{traced, connectionTester{in.lease}}, nil
}

// connectionTester adds a connection test to the input that it is embedded beside.
type connectionTester struct {
	lease *connection.Lease
}

// ConnectionTest logs in to Zato.
func (t connectionTester) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	return t.lease.Test(ctx)
}

// input receives topics. Each topic has a subscriber, which is a goroutine with a connection of its own. The
// subscribers send their batches to one channel, from which ReadBatch receives.
type input struct {
	settings
	lease       *connection.Lease
	log         *service.Logger
	metrics     *metrics
	keys        *subKeyCache // nil without a cache
	subscribers []*subscriber
	// journal is set by the first Connect that can open it. It stays nil without a journal.
	journal *journal.Journal[acceptedFrame]

	// batches is not buffered: what the pipeline has no time for waits in the clients or in the journal.
	batches  chan *batch
	retries  *retries
	inFlight *inFlight
	// lastValues is the metadata of the last message. Only ReadBatch uses it.
	lastValues []any
	// keyChanged receives a signal when a subscription gets another key.
	keyChanged chan struct{}

	// firstActive is closed when the first topic is active.
	firstActive chan struct{}
	markActive  func() // closes firstActive once
	// connectFailed is true after a Connect that failed. Only Connect uses it.
	connectFailed bool
	connector     connection.Connector

	starting sync.Once
	closing  sync.Once
	running  sync.WaitGroup
	// ctx ends when Close is called.
	ctx    context.Context //nolint:containedctx // the input's own lifetime
	cancel context.CancelFunc
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
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // the input's own lifetime begins here
	firstActive := make(chan struct{})
	in := &input{
		settings: *s, lease: lease, log: res.Logger(), metrics: newMetrics(res.Metrics()), keys: keys,
		batches: make(chan *batch), retries: newRetries(), inFlight: newInFlight(),
		lastValues: make([]any, len(s.metadata)), keyChanged: make(chan struct{}, 1),
		firstActive: firstActive, markActive: sync.OnceFunc(func() { close(firstActive) }),
		ctx: ctx, cancel: cancel,
	}
	for _, sub := range in.subscriptions {
		s, err := newSubscriber(in, sub)
		if err != nil {
			return nil, err
		}
		in.subscribers = append(in.subscribers, s)
	}
	return in, nil
}

// notify sends a signal to a channel with a buffer of one, unless a signal waits there already.
func notify(signal chan<- struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}

// Connect opens the journal and starts the subscribers, which go on until Close. It then waits for the first attempt
// of every topic to subscribe, and returns an error only if all of them failed. It does not wait if the journal has
// messages of an earlier process, because these need no connection.
//
// The engine calls Connect again after an error, but never after a success: the subscribers reconnect by themselves,
// and ReadBatch does not return service.ErrNotConnected.
func (in *input) Connect(ctx context.Context) error { return in.connector.Connect(ctx, in.connect) }

// connect is one attempt of Connect.
func (in *input) connect(ctx context.Context) error {
	if in.ctx.Err() != nil {
		return service.ErrEndOfInput
	}
	if err := in.openJournal(ctx); err != nil {
		return err
	}
	recovered := in.journal != nil && in.journal.Backlog().Frames > 0
	in.starting.Do(in.start)
	if recovered {
		return nil
	}
	err := in.awaitTopics(ctx)
	in.connectFailed = err != nil
	return err
}

// start starts the goroutines of the input.
func (in *input) start() {
	for _, s := range in.subscribers {
		in.running.Go(func() { s.run(in.ctx) })
	}
	if in.journal != nil {
		in.running.Go(in.readJournal)
	}
	if in.keys != nil {
		in.running.Go(in.syncKeys)
	}
	in.running.Go(in.sampleMetrics)
}

// awaitTopics waits until every topic is active or has failed since the last call, and returns an error if all have
// failed. After a failed Connect it returns as soon as one topic is active, because the next attempts of the others
// may be far away.
func (in *input) awaitTopics(ctx context.Context) error {
	var oneActive <-chan struct{}
	if in.connectFailed {
		oneActive = in.firstActive
	}
	var errs []error
	for _, s := range in.subscribers {
		select {
		case <-s.active:
		case err := <-s.failed:
			errs = append(errs, err)
		case <-oneActive:
			return nil
		case <-in.ctx.Done():
			return service.ErrEndOfInput
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if len(errs) < len(in.subscribers) {
		return nil
	}
	return connectError(errs)
}

// connectError makes one error for the engine of the errors of all topics. It makes the engine back off for long
// only if every topic was rejected: a topic with another error may be active soon.
func connectError(errs []error) error {
	var texts []string
	var rejections int
	var rejected *service.ErrBackOff
	for _, err := range errs {
		texts = append(texts, err.Error())
		if errors.As(err, &rejected) {
			rejections++
		}
	}
	err := errors.New(strings.Join(texts, "; "))
	if rejections == len(errs) {
		return service.NewErrBackOff(err, rejected.Wait)
	}
	return err
}

// ReadBatch returns a batch that the pipeline rejected, if one is due, or else the next batch of any topic. It waits
// for one until the input is closed, with or without a connection.
//
// It first lets other goroutines run. For each batch, the engine starts a goroutine that waits for the outcome. If
// the engine stops the input hard before that goroutine runs, it drops the acknowledgement. The read_until input
// stops its child that way right after the last message: with a quick output, the acknowledgement was dropped in
// half of all runs, and in one of a thousand after two calls of Gosched.
func (in *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	for range 2 {
		runtime.Gosched()
	}
	for {
		fresh, due := in.batches, in.retries.nextRetry()
		if due != nil {
			fresh = nil // rejected batches go first
		}
		select {
		case <-due:
			return in.emit(in.retries.pop())
		case b := <-fresh:
			return in.emit(b)
		case <-in.retries.notify:
		case <-in.ctx.Done():
			return nil, nil, service.ErrEndOfInput
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// unsubscribeTimeout bounds the unsubscribing from all topics together.
const unsubscribeTimeout = time.Second

// Close stops the subscribers, unsubscribes if configured, and logs how many messages were read and not
// acknowledged. The engine calls it without a deadline, so it bounds itself. It may be called several times.
func (in *input) Close(ctx context.Context) error {
	in.closing.Do(func() {
		in.cancel()
		in.running.Wait()
		ctx, cancel := context.WithTimeout(ctx, unsubscribeTimeout)
		defer cancel()
		var all sync.WaitGroup
		for _, s := range in.subscribers {
			all.Go(func() { s.close(ctx) })
		}
		all.Wait()
		in.lease.Release()
		if in.journal != nil {
			in.closeJournal()
		} else {
			in.inFlight.report(in.log)
		}
		in.sample()
	})
	return nil
}
