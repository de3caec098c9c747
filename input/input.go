// Package input provides the zato_wsx input, which receives Zato topics.
package input

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/connection"
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

// batch is a frame on its way to the pipeline.
type batch struct {
	messages service.MessageBatch
	ack      service.AckFunc
}

// input receives topics. ReadBatch may run while Close does.
type input struct {
	settings
	lease   *connection.Lease
	log     *service.Logger
	repeats *service.MetricCounter
	ledger  ledger

	// batches is not buffered: what waits, waits in the clients.
	batches chan batch
	// lost is told when a subscription has no connection any more.
	lost chan struct{}
	// life ends when Close is called.
	life   context.Context //nolint:containedctx // the input's own life
	end    context.CancelFunc
	pumps  sync.WaitGroup
	closed sync.Once

	// mu guards readers. It is held over no I/O.
	mu      sync.Mutex
	readers []*reader
}

// reader receives one topic.
type reader struct {
	sub        wsx.Subscription
	client     *wsx.Client
	seen       *seen
	subscribed bool
	pumping    bool
}

func newInput(conf *service.ParsedConfig, res *service.Resources) (*input, error) {
	s, err := parse(conf)
	if err != nil {
		return nil, err
	}
	lease, err := connection.Acquire(conf, res)
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.Background()) //nolint:forbidigo // the input's own life begins here
	in := &input{
		settings: *s, lease: lease, log: res.Logger(),
		repeats: res.Metrics().NewCounter("zato_wsx_repeats_dropped"),
		batches: make(chan batch), lost: make(chan struct{}, 1),
		life: life, end: end,
	}
	for _, sub := range in.subscriptions {
		client, err := lease.Subscriber(in.prefetch)
		if err != nil {
			return nil, err
		}
		in.readers = append(in.readers, &reader{sub: sub, client: client, seen: newSeen()})
	}
	return in, nil
}

// Connect subscribes to every topic, or waits until the clients have restored
// their subscriptions.
func (in *input) Connect(ctx context.Context) error {
	for _, r := range in.readers {
		if in.life.Err() != nil {
			return service.ErrEndOfInput
		}
		if err := in.subscribe(ctx, r); err != nil {
			return err
		}
	}
	select {
	case <-in.lost: // said of connections that are back
	default:
	}
	for _, r := range in.readers {
		in.start(r)
	}
	return nil
}

// subscribe makes a reader's subscription. The engine calls Connect one at a
// time, so subscribed needs no lock.
func (in *input) subscribe(ctx context.Context, r *reader) error {
	if err := in.lease.ClientReady(ctx, r.client); err != nil {
		return fmt.Errorf("topic %q: %w", r.sub.Topic, err)
	}
	if r.subscribed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wsx.DefaultCallTimeout)
	defer cancel()
	var err error
	switch r.sub.Mode {
	case wsx.ResumeOnly:
		err = r.client.Resume(ctx, r.sub)
	case wsx.SubscribeAnew:
		_, err = r.client.Subscribe(ctx, r.sub)
	case wsx.SubscribeOrResume:
		_, err = r.client.SubscribeOrResume(ctx, r.sub)
	}
	r.subscribed = err == nil
	return in.lease.TranslateConnect(err)
}

// start pumps a reader's frames until its connection is lost.
func (in *input) start(r *reader) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if r.pumping || in.life.Err() != nil {
		return
	}
	r.pumping = true
	in.pumps.Go(func() { in.pump(r) })
}

func (in *input) pump(r *reader) {
	defer func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		r.pumping = false
	}()
	for {
		frame, err := r.client.Receive(in.life)
		if err != nil {
			in.signalLoss(err)
			return
		}
		b := in.accept(r, &frame)
		if len(b.messages) == 0 {
			continue
		}
		if in.respond && len(frame.Messages) == 1 {
			b = in.responding(r, frame, b)
		}
		select {
		case in.batches <- b:
		case <-in.life.Done():
			return // the ledger knows
		}
	}
}

// signalLoss makes ReadBatch say that there is no connection.
func (in *input) signalLoss(err error) {
	if !errors.Is(err, wsx.ErrNotConnected) {
		return
	}
	select {
	case in.lost <- struct{}{}:
	default:
	}
}

// accept drops repeats, enters the rest into the ledger and makes it a batch.
func (in *input) accept(r *reader, frame *wsx.Frame) batch {
	out := make(service.MessageBatch, 0, len(frame.Messages))
	for i := range frame.Messages {
		m := &frame.Messages[i]
		if r.seen.repeated(m.MsgID) {
			in.repeats.Incr(1)
			continue
		}
		out = append(out, newMessage(m, in.metadata))
	}
	in.ledger.received(len(out))
	return batch{out, in.ledger.settle(len(out))}
}

// respondLimit bounds the sending of a response, in front of which nothing waits
// but a slow connection.
const respondLimit = time.Second

// responding makes a batch send the pipeline's response when it is settled.
func (in *input) responding(r *reader, frame wsx.Frame, b batch) batch {
	messages, responses := b.messages.WithSyncResponseStore()
	return batch{messages, func(ctx context.Context, rejected error) error {
		if rejected == nil {
			in.sendResponse(ctx, r, frame, responses)
		}
		return b.ack(ctx, rejected)
	}}
}

func (in *input) sendResponse(
	ctx context.Context, r *reader, frame wsx.Frame, responses *service.SyncResponseStore,
) {
	value, err := reply(responses, nil)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, respondLimit)
		defer cancel()
		err = r.client.Respond(ctx, frame, value)
	}
	if err != nil {
		in.log.Warnf("No response went to Zato: %v", err)
	}
}

// ReadBatch returns the next frame.
func (in *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	select {
	case b := <-in.batches:
		return b.messages, b.ack, nil
	case <-in.lost:
		return nil, nil, service.ErrNotConnected
	case <-in.life.Done():
		return nil, nil, service.ErrEndOfInput
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// unsubscribeLimit bounds the farewell to all subscriptions together.
const unsubscribeLimit = time.Second

// Close ends the subscriptions and counts what was read in vain. The engine
// gives no deadline, so it bounds itself.
func (in *input) Close(ctx context.Context) error {
	in.closed.Do(func() {
		in.end()
		in.pumps.Wait()
		in.closeReaders(ctx)
		in.lease.Release()
		in.ledger.report(in.log)
	})
	return nil
}

// closeReaders closes all clients at once and enters into the ledger what they
// had read and nobody had taken.
func (in *input) closeReaders(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, unsubscribeLimit)
	defer cancel()
	var all sync.WaitGroup
	for _, r := range in.readers {
		all.Go(func() {
			if in.unsubscribe && r.client.Connected() {
				if err := r.client.Unsubscribe(ctx, r.sub.Topic); err != nil {
					in.log.Warnf("The subscription to topic %q stays at the server: %v", r.sub.Topic, err)
				}
			}
			_ = r.client.Close()
			for {
				frame, err := r.client.Receive(ctx)
				if err != nil {
					return
				}
				in.accept(r, &frame)
			}
		})
	}
	all.Wait()
}
