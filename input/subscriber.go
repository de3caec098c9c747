package input

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/internal/throttle"
	"github.com/zato-connect/zato-connect/wsx"
)

// subscriber receives one topic over a connection of its own. It has one goroutine, run, so that a topic that Zato
// refuses delays no other topic.
type subscriber struct {
	in     *input
	sub    wsx.Subscription // as configured
	client *wsx.Client
	dedup  *dedup
	// scratch is the buffer of coalesce.
	scratch []wsx.Frame

	// active is closed when the topic is subscribed, or has sent a frame. failed holds the error of the last
	// attempt to subscribe until Connect takes it. Connect waits for either.
	active chan struct{}
	failed chan error

	// The following fields belong to run.
	isActive   bool
	subscribed bool
	retryWaits *backoff.ExponentialBackOff
	loggedErr  string // the last error that was not logged at DEBUG
	warnedNew  bool   // whether warnNewSubscription has logged

	// failedResponses and failedSaves limit the warnings about them.
	failedResponses, failedSaves throttle.Throttle

	// keySaved is true once the key of the first subscription is in the cache. reconnected is true if the connection
	// was lost since syncKey ran last.
	keySaved, reconnected atomic.Bool
	// warnedOwner is the owner of the cached key that was last warned about. It belongs to syncKeys.
	warnedOwner string
}

// Waits between attempts to subscribe that failed, but were not rejected.
const (
	firstSubscribeWait = 100 * time.Millisecond
	maxSubscribeWait   = time.Second
)

func newSubscriber(in *input, sub wsx.Subscription) (*subscriber, error) {
	s := &subscriber{
		in: in, sub: sub, dedup: newDedup(),
		active: make(chan struct{}), failed: make(chan error, 1),
		retryWaits: backoff.NewExponentialBackOff(backoff.WithInitialInterval(firstSubscribeWait),
			backoff.WithMaxInterval(maxSubscribeWait), backoff.WithMaxElapsedTime(0)),
	}
	keyChanged := func() { notify(in.keyChanged) }
	disconnected := func() { s.reconnected.Store(true) }
	var err error
	s.client, err = in.lease.NewSubscriber(sub.Topic, in.prefetch, in.persister(sub.Topic), keyChanged, disconnected)
	return s, err
}

// log returns a logger whose lines have the topic as a field.
func (s *subscriber) log() *service.Logger { return s.in.log.With("topic", s.sub.Topic) }

// run subscribes to the topic, and then receives it until ctx ends. Once the topic is subscribed, the client
// reconnects and restores the subscription by itself.
//
// While run backs off after a failed attempt, it receives all the same. The connection can have frames: the answer
// to a subscription may be lost, or its key cannot be saved. The client reads a connection to its end before it opens
// the next one, and it stops reading while prefetch_count frames wait. If nobody took these frames, there would be no
// next connection.
func (s *subscriber) run(ctx context.Context) {
	for {
		err := s.subscribe(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			s.logSubscribed()
			s.setActive()
			s.receive(ctx)
			return
		}
		wait := s.backOff(err)
		s.logFailure(err, wait)
		s.setFailed(err)
		s.receiveFor(ctx, wait)
	}
}

// subscribe makes the topic's first subscription and saves its key in the cache. After an error it can be called
// again, and goes on with the step that failed.
func (s *subscriber) subscribe(ctx context.Context) error {
	if !s.subscribed {
		if err := s.in.lease.AwaitClient(ctx, s.client); err != nil {
			return fmt.Errorf("connecting for topic %q: %w", s.sub.Topic, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, wsx.DefaultCallTimeout)
	defer cancel()
	if !s.subscribed {
		if err := s.subscribeFirst(ctx); err != nil {
			return s.in.lease.TranslateConnect(err)
		}
		s.subscribed = true
	}
	return s.saveFirstKey(ctx)
}

// subscribeFirst subscribes by the configured mode, with the cached key if there is one.
func (s *subscriber) subscribeFirst(ctx context.Context) error {
	sub, err := s.withCachedKey(ctx)
	if err != nil {
		return err
	}
	switch sub.Mode {
	case wsx.ResumeOnly:
		return s.client.Resume(ctx, sub)
	case wsx.SubscribeNew:
		_, err = s.client.Subscribe(ctx, sub)
	case wsx.SubscribeOrResume:
		_, err = s.client.SubscribeOrResume(ctx, sub)
	}
	return err
}

// receive forwards frames until ctx ends. A lost connection does not end it.
//
// While there is no subscription, it also forwards all frames that have arrived when ctx ends. The next attempt waits
// for a connection, and the client may not open one before these frames are taken. With a subscription, it leaves them:
// on a busy topic there would always be another frame.
func (s *subscriber) receive(ctx context.Context) {
	for s.in.ctx.Err() == nil && (ctx.Err() == nil || !s.subscribed) {
		frame, err := s.client.Receive(ctx) // returns a frame that has arrived even if ctx has ended
		if err != nil {
			return
		}
		// The pipeline can take the frame only after Connect has returned, even if the topic is not subscribed yet.
		s.setActive()
		s.forward(&frame)
	}
}

// receiveFor is receive with a time limit.
func (s *subscriber) receiveFor(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s.receive(ctx)
}

// backOff returns how long to wait after an attempt that failed with err. A rejection waits between half of
// connection.backoff.max_interval and all of it, as in the client: a right may be granted, but not within seconds.
func (s *subscriber) backOff(err error) time.Duration {
	var rejected *service.ErrBackOff
	if !errors.As(err, &rejected) {
		return s.retryWaits.NextBackOff()
	}
	s.retryWaits.Reset()
	half := rejected.Wait / 2
	return half + rand.N(half+1) //nolint:gosec // spreads the attempts, guards nothing
}

// setActive reports to Connect that the topic has messages, or will have.
func (s *subscriber) setActive() {
	if s.isActive {
		return
	}
	s.isActive = true
	s.dropFailure()
	close(s.active)
	s.in.markActive()
}

// setFailed reports a failed attempt to Connect.
func (s *subscriber) setFailed(err error) {
	if s.isActive {
		return
	}
	s.dropFailure()
	s.failed <- err
}

// dropFailure removes the error of an earlier attempt that Connect has not taken.
func (s *subscriber) dropFailure() {
	select {
	case <-s.failed:
	default:
	}
}

// logSubscribed logs that the topic is subscribed, if a failure was logged before.
func (s *subscriber) logSubscribed() {
	if s.loggedErr != "" {
		s.log().Infof("Topic %q is subscribed now", s.sub.Topic)
	}
}

// logFailure logs a failed attempt: a rejection as an error, and anything else as a warning. It uses DEBUG if the error
// is the same as before, or if there is no connection, which the client logs.
func (s *subscriber) logFailure(err error, wait time.Duration) {
	cause := err
	var rejected *service.ErrBackOff
	if errors.As(err, &rejected) {
		cause = rejected.Err // ErrBackOff does not unwrap
	}
	text := wsx.StableText(cause)
	wait = wait.Round(time.Millisecond)
	if errors.Is(cause, wsx.ErrNotConnected) || text == s.loggedErr {
		s.log().Debugf("Still not subscribed to topic %q, the next attempt is in %s: %v", s.sub.Topic, wait, err)
		return
	}
	s.loggedErr = text
	if rejected != nil {
		s.log().Errorf("Could not subscribe to topic %q, the next attempt is in %s: %v", s.sub.Topic, wait, err)
		return
	}
	s.log().Warnf("Could not subscribe to topic %q, the next attempt is in %s: %v", s.sub.Topic, wait, err)
}

// close unsubscribes if configured, closes the connection, and takes what the client had read: the journal keeps it,
// or it is counted as lost.
func (s *subscriber) close(ctx context.Context) {
	if s.in.unsubscribeOnClose && s.client.Connected() {
		if err := s.unsubscribe(ctx); err != nil {
			s.log().Warnf("The subscription to topic %q stays at the server: %v", s.sub.Topic, err)
		}
	}
	_ = s.client.Close()
	for {
		frame, err := s.client.Receive(ctx)
		if err != nil {
			return
		}
		s.forward(&frame)
	}
}
