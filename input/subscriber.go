package input

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/internal/recent"
	"github.com/zato-connect/zato-connect/wsx"
)

// subscriber receives one topic. It has its own connection and its own goroutine, run, so that a topic that Zato
// refuses does not delay the others.
type subscriber struct {
	in     *input
	sub    wsx.Subscription // as configured
	client *wsx.Client
	pushed *pushed
	// receiver is pushed until choose has chosen another one.
	receiver receiver

	// Connect waits for one of these. active is closed when the topic is subscribed, or when its first frame has
	// arrived. failed holds the error of the last attempt to subscribe until Connect takes it.
	active chan struct{}
	failed chan error

	// Only run uses the following fields.
	chosen     bool // choose has succeeded
	isActive   bool
	retryWaits *backoff.ExponentialBackOff
	loggedErr  string // the last error that was not logged at DEBUG

	// subscribed is true once Zato has accepted the subscription. Only run sets it.
	subscribed atomic.Bool
	// takenOver is true while another process has the subscription, whose messages Zato pushes.
	takenOver atomic.Bool
	// standsBy is true while another consumer has the named subscription, and this one waits for its end.
	standsBy atomic.Bool
	// lastUp is when downFor last found the topic subscribed, or the start. Only downFor uses it.
	lastUp time.Time
}

// receiver is how a subscriber gets the messages of its topic. Zato pushes them, or the subscriber fetches them.
type receiver interface {
	// subscribe makes the subscription. It is called again after an error of subscribe or receive.
	subscribe(ctx context.Context) error
	// receive forwards messages until ctx ends, or until it fails and the subscription must be made again.
	receive(ctx context.Context) error
	// pause waits before the next attempt to subscribe.
	pause(ctx context.Context, wait time.Duration)
	// close ends the subscription as configured and closes the connection.
	close(ctx context.Context)
}

// After a failed attempt to subscribe that was not rejected, the wait is about firstSubscribeWait. With further
// attempts it grows to about maxSubscribeWait.
const (
	firstSubscribeWait = 100 * time.Millisecond
	maxSubscribeWait   = time.Second
)

func newSubscriber(in *input, sub wsx.Subscription) (*subscriber, error) {
	s := &subscriber{
		in: in, sub: sub, lastUp: time.Now(),
		active: make(chan struct{}), failed: make(chan error, 1),
		retryWaits: backoff.NewExponentialBackOff(backoff.WithInitialInterval(firstSubscribeWait),
			backoff.WithMaxInterval(maxSubscribeWait), backoff.WithMaxElapsedTime(0)),
	}
	s.pushed = &pushed{subscriber: s, seen: recent.New(recent.DefaultLimit)}
	s.receiver = s.pushed
	keyChanged := func() { notify(in.keyChanged) }
	disconnected := func() { s.pushed.wasDisconnected.Store(true) }
	var err error
	s.client, err = in.lease.NewSubscriber(sub.Topic, in.prefetch, in.persister(sub.Topic), keyChanged, disconnected)
	return s, err
}

// log returns a logger whose lines have the topic as a field.
func (s *subscriber) log() *service.Logger { return s.in.log.With("topic", s.sub.Topic) }

// run subscribes to the topic and receives it until ctx ends. After an error it backs off and subscribes again.
func (s *subscriber) run(ctx context.Context) {
	for {
		err := s.choose(ctx)
		if err == nil {
			err = s.receiver.subscribe(ctx)
		}
		if err == nil {
			s.setActive()
			err = s.receiver.receive(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		err = s.in.lease.TranslateConnect(err)
		wait := s.backOff(err)
		s.logFailure(err, wait)
		s.setFailed(err)
		s.receiver.pause(ctx, wait)
	}
}

// awaitClient waits for the connection of the topic.
func (s *subscriber) awaitClient(ctx context.Context) error {
	if err := s.in.lease.AwaitClient(ctx, s.client); err != nil {
		return fmt.Errorf("connecting for topic %q: %w", s.sub.Topic, err)
	}
	return nil
}

// describeTimeout bounds how long an input that does not fetch waits for the description of the gateway.
const describeTimeout = 5 * time.Second

// choose decides with the first connection how to receive the topic. It fetches if the gateway can hand out messages,
// the subscription has a name, and no field says how Zato is to push.
func (s *subscriber) choose(ctx context.Context) error {
	if s.chosen || s.in.pushes() {
		return nil
	}
	if err := s.awaitClient(ctx); err != nil {
		return err
	}
	if s.in.name == "" {
		s.suggestName(ctx)
		s.chosen = true
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wsx.DefaultCallTimeout)
	defer cancel()
	gateway, err := s.in.lease.Describe(ctx, s.client)
	var refused *wsx.ServerError
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("%w: if the channel has no companion services, set connection.gateway to stock", err)
	case err != nil:
		return err
	case gateway.Offers(wsx.AbilityFetch):
		f := newFetched(s, gateway.Limits)
		s.receiver = f
		s.in.running.Go(func() { f.forward(s.in.ctx) })
	case s.in.shared:
		return fmt.Errorf("field %s: %w", fieldShared, wsx.ErrNoCompanion)
	}
	s.chosen = true
	return nil
}

// suggestName logs once that the input would lose nothing if it had a name.
func (s *subscriber) suggestName(ctx context.Context) {
	if s != s.in.subscribers[0] {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	gateway, err := s.in.lease.Describe(ctx, s.client)
	if err == nil && gateway.Offers(wsx.AbilityFetch) {
		s.in.log.Infof("Zato pushes the messages of this input, so some can be lost if the process or the connection "+
			"ends. To lose none, set %s to a name, or give the input a label", fieldSubscription)
	}
}
