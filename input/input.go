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

// construct builds the input and wraps it for tracing. The wrapper hides the connection test, so construct adds one
// beside it.
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

// connectionTester implements service.ConnectionTestable for an input that is embedded in the same struct.
type connectionTester struct {
	lease *connection.Lease
}

// ConnectionTest logs in to Zato.
func (t connectionTester) ConnectionTest(ctx context.Context) service.ConnectionTestResults {
	return t.lease.Test(ctx)
}

// input receives topics. Each topic has a subscriber with its own goroutine and connection. Without a journal, the
// subscribers send their batches to one channel, from which ReadBatch receives. With a journal, they put their frames
// into the journal, and readJournal sends batches to that channel.
type input struct {
	settings
	lease       *connection.Lease
	log         *service.Logger
	metrics     *metrics
	keys        *subKeyCache // nil without a cache
	subscribers []*subscriber
	// journal is nil until a call of Connect has opened it. It stays nil if none is configured.
	journal *journal.Journal[acceptedFrame]

	// batches is not buffered. While the pipeline is busy, messages wait in the clients or in the journal.
	batches chan *batch
	retries *retries
	// inFlight has the batches of messages that Zato pushed, fetchedInFlight those that were fetched.
	inFlight, fetchedInFlight *inFlight
	// lastValues has the metadata values of the last message, for reuse. Only ReadBatch uses it.
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
	if err := s.useLabel(res.Label()); err != nil {
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
		batches: make(chan *batch), retries: newRetries(),
		inFlight: newInFlight(), fetchedInFlight: newInFlight(),
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
		// Without these, the series would begin with the first message, and a rate would miss it.
		in.metrics.received.Incr(0, sub.Topic)
		in.metrics.duplicates.Incr(0, sub.Topic)
		in.metrics.expired.Incr(0, sub.Topic)
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

// Connect opens the journal and starts the subscribers, which run until Close. It then waits until each topic has made
// its first attempt to subscribe, and returns an error only if all topics failed. It does not wait if the journal has
// messages already, because these need no connection.
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
		in.sample() // sampleMetrics has not started yet
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

// awaitTopics waits until each topic is active or has failed since the last call. It returns an error if all have
// failed. After a Connect that failed, it returns as soon as one topic is active, because the others may make their
// next attempts much later.
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

// connectError combines the errors of all topics into one for the engine. If every topic was rejected, the error makes
// the engine back off for long. Otherwise it does not, because a topic with another error may be active soon.
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

// ReadBatch returns the next batch. If the pipeline has rejected batches, it returns these first, each when its retry
// is due. Otherwise it returns a new batch of any topic. It waits for one until the input is closed, with or without a
// connection.
func (in *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	// Let other goroutines run first. For the batch before this one, the engine has started a goroutine that waits
	// for the acknowledgement. If the engine stops the input hard before that goroutine runs, the acknowledgement is
	// dropped. The read_until input stops its child that way right after the last message. With a quick output, that
	// dropped the acknowledgement in half of all runs. With two calls of Gosched, it did in one run of a thousand.
	for range 2 {
		runtime.Gosched()
	}
	for {
		fresh, due := in.batches, in.retries.nextRetry()
		if due != nil {
			fresh = nil // a rejected batch goes first, even if it is not due yet
		}
		select {
		case <-due:
			return in.emit(in.retries.pop())
		case b := <-fresh:
			return in.emit(b)
		case <-in.retries.added: // look again which batch is next
		case <-in.ctx.Done():
			return nil, nil, service.ErrEndOfInput
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// unsubscribeTimeout bounds how long Close ends fetches and unsubscribes from all topics together. If Zato pushes and
// does not answer, closing a connection takes a second more.
const unsubscribeTimeout = 1700 * time.Millisecond

// Close stops the subscribers, unsubscribes if configured, and logs how many messages were not acknowledged: they stay
// in the journal, or are lost without one. The engine sets no deadline, so Close limits its own time. It may be called
// several times.
func (in *input) Close(ctx context.Context) error {
	in.closing.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, unsubscribeTimeout)
		defer cancel()
		in.cancel()
		in.running.Wait()
		var closers sync.WaitGroup
		for _, s := range in.subscribers {
			closers.Go(func() { s.receiver.close(ctx) })
		}
		closers.Wait()
		in.lease.Release()
		if in.journal != nil {
			in.closeJournal()
		} else {
			in.inFlight.report(in.log)
		}
		in.sample() // for the last time
	})
	return nil
}
