package input

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// backOff returns how long to wait after an attempt that failed with err. After a rejection, that is a random time
// from half of connection.backoff.max_interval to all of it, as in the client: an administrator may grant the right,
// but hardly within seconds.
func (s *subscriber) backOff(err error) time.Duration {
	if errors.Is(err, wsx.ErrTakenOver) {
		s.retryWaits.Reset()
		return standByInterval
	}
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

// succeeded notes that the topic is received. It logs that if a failure was logged before.
func (s *subscriber) succeeded() {
	s.setActive()
	s.retryWaits.Reset()
	if s.loggedErr != "" {
		s.log().Infof("Topic %q is subscribed now", s.sub.Topic)
	}
	s.loggedErr = ""
}

// downFor returns for how long this process has not received the topic. That is 0 once the input is closed, and while
// it stands by for another process.
func (s *subscriber) downFor(now time.Time) time.Duration {
	// The client is not ready while it restores a subscription.
	up := s.subscribed.Load() && !s.takenOver.Load() || s.standsBy.Load()
	if up && s.client.Connected() || s.in.ctx.Err() != nil {
		s.lastUp = now
	}
	return now.Sub(s.lastUp)
}

// logFailure logs a failed attempt: a rejection as an error, and any other failure as a warning. It logs at DEBUG if
// the error is the same as before. It also does so if there is no connection or another consumer has the subscription,
// because that is logged elsewhere.
func (s *subscriber) logFailure(err error, wait time.Duration) {
	cause := err
	var rejected *service.ErrBackOff
	if errors.As(err, &rejected) {
		cause = rejected.Err // ErrBackOff does not unwrap
	}
	text := wsx.StableText(cause)
	wait = wait.Round(time.Millisecond)
	if loggedElsewhere(cause) || text == s.loggedErr {
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

// loggedElsewhere reports whether the client or the receiver logs err.
func loggedElsewhere(err error) bool {
	for _, one := range []error{wsx.ErrNotConnected, wsx.ErrConnectionLost, wsx.ErrTakenOver, wsx.ErrNoSubscription} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// warnStays logs that the subscription could not be deleted.
func (s *subscriber) warnStays(err error) {
	s.log().Warnf("The subscription to topic %q stays at the server: %v", s.sub.Topic, err)
}
