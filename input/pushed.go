package input

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/zato-connect/zato-connect/internal/recent"
	"github.com/zato-connect/zato-connect/internal/throttle"
	"github.com/zato-connect/zato-connect/wsx"
)

// pushed receives the messages that Zato pushes to a connection. Zato counts a message as delivered once it has written
// it. The client reconnects and restores the subscription by itself.
type pushed struct {
	*subscriber

	seen *recent.IDs
	// scratch is the buffer of coalesce.
	scratch []wsx.Frame

	warnedNew bool // whether warnNewSubscription has logged; only run uses it

	// failedResponses and failedSaves limit the warnings about them.
	failedResponses, failedSaves throttle.Throttle

	// keySaved is true once the key of the first subscription is in the cache. wasDisconnected is true if the
	// connection was lost after syncKey ran last.
	keySaved, wasDisconnected atomic.Bool
	// warnedOwner is the owner of the cached key that the last warning named. Only syncKeys uses it.
	warnedOwner string
}

// subscribe makes the topic's first subscription and saves its key in the cache. After an error, it begins with the
// step that failed.
func (s *pushed) subscribe(ctx context.Context) error {
	if !s.subscribed.Load() {
		if err := s.awaitClient(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, wsx.DefaultCallTimeout)
	defer cancel()
	if !s.subscribed.Load() {
		if err := s.subscribeFirst(ctx); err != nil {
			return err
		}
		s.subscribed.Store(true)
	}
	return s.saveFirstKey(ctx)
}

// subscribeFirst subscribes in the configured mode, with the cached key if there is one.
func (s *pushed) subscribeFirst(ctx context.Context) error {
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
func (s *pushed) receive(ctx context.Context) error {
	s.succeeded()
	return s.forwardFrames(ctx)
}

// forwardFrames forwards frames until ctx ends.
//
// When ctx ends before the topic is subscribed, forwardFrames first forwards all frames that have arrived. The next
// attempt to subscribe needs a connection, and the client may not open one while frames wait. When ctx ends later,
// forwardFrames leaves the frames in the client: on a busy topic, another one would always arrive.
func (s *pushed) forwardFrames(ctx context.Context) error {
	for s.in.ctx.Err() == nil && (ctx.Err() == nil || !s.subscribed.Load()) {
		frame, err := s.client.Receive(ctx) // returns a frame that has arrived even if ctx has ended
		if err != nil {
			return err
		}
		// The pipeline takes the frame only after Connect has returned, so Connect must not wait any longer for
		// the subscription.
		s.setActive()
		s.forward(&frame)
	}
	return ctx.Err()
}

// pause receives frames while it waits. Frames can arrive although the attempt failed: Zato may have made the
// subscription and its answer was lost, or the key could not be saved. pause must take them, or the client would never
// reconnect. The client reads a connection to its end before it opens the next one, and it does not read while
// prefetch_count frames wait.
func (s *pushed) pause(ctx context.Context, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	_ = s.forwardFrames(ctx)
}

// close unsubscribes if configured, closes the connection, and forwards the frames that the client has read. The
// pipeline no longer takes them: they stay in the journal, or are counted as lost.
func (s *pushed) close(ctx context.Context) {
	if s.in.unsubscribeOnClose && s.client.Connected() {
		if err := s.unsubscribe(ctx); err != nil {
			s.warnStays(err)
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
