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

// subscriber receives one topic. It has its own connection and its own goroutine, run, so that a topic that Zato
// refuses does not delay the others.
type subscriber struct {
	in     *input
	sub    wsx.Subscription // as configured
	client *wsx.Client
	dedup  *dedup
	// scratch is the buffer of coalesce.
	scratch []wsx.Frame

	// Connect waits for one of these. active is closed when the topic is subscribed, or when its first frame has
	// arrived. failed holds the error of the last attempt to subscribe until Connect takes it.
	active chan struct{}
	failed chan error

	// Only run uses the following fields.
	isActive   bool
	retryWaits *backoff.ExponentialBackOff
	loggedErr  string // the last error that was not logged at DEBUG
	warnedNew  bool   // whether warnNewSubscription has logged

	// subscribed is true once Zato has accepted the first subscription. Only run sets it.
	subscribed atomic.Bool
	// takenOver is true while another process has the subscription.
	takenOver atomic.Bool
	// lastUp is when downFor last found the topic subscribed, or the start. Only downFor uses it.
	lastUp time.Time

	// failedResponses and failedSaves limit the warnings about them.
	failedResponses, failedSaves throttle.Throttle

	// keySaved is true once the key of the first subscription is in the cache. wasDisconnected is true if the
	// connection was lost after syncKey ran last.
	keySaved, wasDisconnected atomic.Bool
	// warnedOwner is the owner of the cached key that the last warning named. Only syncKeys uses it.
	warnedOwner string
}

// After a failed attempt to subscribe that was not rejected, the wait is about firstSubscribeWait. With further
// attempts it grows to about maxSubscribeWait.
const (
	firstSubscribeWait = 100 * time.Millisecond
	maxSubscribeWait   = time.Second
)

func newSubscriber(in *input, sub wsx.Subscription) (*subscriber, error) {
	s := &subscriber{
		in: in, sub: sub, dedup: newDedup(), lastUp: time.Now(),
		active: make(chan struct{}), failed: make(chan error, 1),
		retryWaits: backoff.NewExponentialBackOff(backoff.WithInitialInterval(firstSubscribeWait),
			backoff.WithMaxInterval(maxSubscribeWait), backoff.WithMaxElapsedTime(0)),
	}
	keyChanged := func() { notify(in.keyChanged) }
	disconnected := func() { s.wasDisconnected.Store(true) }
	var err error
	s.client, err = in.lease.NewSubscriber(sub.Topic, in.prefetch, in.persister(sub.Topic), keyChanged, disconnected)
	return s, err
}

// log returns a logger whose lines have the topic as a field.
func (s *subscriber) log() *service.Logger { return s.in.log.With("topic", s.sub.Topic) }

// run subscribes to the topic, and then receives it until ctx ends. Once the topic is subscribed, the client
// reconnects and restores the subscription by itself.
//
// After a failed attempt, run receives frames while it backs off. Frames can arrive although the attempt failed: Zato
// may have made the subscription and its answer was lost, or the key could not be saved. run must take them, or the
// client would never reconnect. The client reads a connection to its end before it opens the next one, and it does not
// read while prefetch_count frames wait.
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

// subscribe makes the topic's first subscription and saves its key in the cache. After an error, it can be called
// again. It then begins with the step that failed.
func (s *subscriber) subscribe(ctx context.Context) error {
	if !s.subscribed.Load() {
		if err := s.in.lease.AwaitClient(ctx, s.client); err != nil {
			return fmt.Errorf("connecting for topic %q: %w", s.sub.Topic, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, wsx.DefaultCallTimeout)
	defer cancel()
	if !s.subscribed.Load() {
		if err := s.subscribeFirst(ctx); err != nil {
			return s.in.lease.TranslateConnect(err)
		}
		s.subscribed.Store(true)
	}
	return s.saveFirstKey(ctx)
}

// subscribeFirst subscribes in the configured mode, with the cached key if there is one.
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
// When ctx ends before the topic is subscribed, receive first forwards all frames that have arrived. The next attempt
// to subscribe needs a connection, and the client may not open one while frames wait. When ctx ends later, receive
// leaves the frames in the client: on a busy topic, another one would always arrive.
func (s *subscriber) receive(ctx context.Context) {
	for s.in.ctx.Err() == nil && (ctx.Err() == nil || !s.subscribed.Load()) {
		frame, err := s.client.Receive(ctx) // returns a frame that has arrived even if ctx has ended
		if err != nil {
			return
		}
		// The pipeline takes the frame only after Connect has returned, so Connect must not wait any longer for
		// the subscription.
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

// backOff returns how long to wait after an attempt that failed with err. After a rejection, that is a random time
// from half of connection.backoff.max_interval to all of it, as in the client: an administrator may grant the right,
// but hardly within seconds.
func (s *subscriber) backOff(err error) time.Duration {
	var rejected *service.ErrBackOff
	if !errors.As(err, &rejected) {
		return s.retryWaits.NextBackOff()
	}
	s.retryWaits.Reset()
	half := rejected.Wait / 2
	return half + rand.N(half+1) //nolint:gosec // spreads the attempts, guards nothing
}

// setActive notifies Connect that the topic is subscribed or that its first frame has arrived.
func (s *subscriber) setActive() {
	if s.isActive {
		return
	}
	s.isActive = true
	s.dropFailure()
	close(s.active)
	s.in.markActive()
}

// setFailed notifies Connect that an attempt to subscribe has failed.
func (s *subscriber) setFailed(err error) {
	if s.isActive {
		return
	}
	s.dropFailure()
	s.failed <- err
}

// dropFailure drops the error of an earlier attempt if Connect has not taken it.
func (s *subscriber) dropFailure() {
	select {
	case <-s.failed:
	default:
	}
}

// downFor returns for how long this process has not received the topic. That is 0 once the input is closed.
func (s *subscriber) downFor(now time.Time) time.Duration {
	// The client is not ready while it restores a subscription.
	up := s.subscribed.Load() && s.client.Connected() && !s.takenOver.Load()
	if up || s.in.ctx.Err() != nil {
		s.lastUp = now
	}
	return now.Sub(s.lastUp)
}

// logSubscribed logs that the topic is subscribed if a failure was logged before.
func (s *subscriber) logSubscribed() {
	if s.loggedErr != "" {
		s.log().Infof("Topic %q is subscribed now", s.sub.Topic)
	}
}

// logFailure logs a failed attempt: a rejection as an error, and any other failure as a warning. It logs at DEBUG if
// the error is the same as before. It also does so if there is no connection, because the client logs that.
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

// close unsubscribes if configured, closes the connection, and forwards the frames that the client has read. The
// pipeline no longer takes them: they stay in the journal, or are counted as lost.
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
