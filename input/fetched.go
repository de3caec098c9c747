package input

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/wsx"
)

const (
	// standByInterval is how often a consumer that stands by tries to get its subscription back.
	standByInterval = 5 * time.Second
	// idleLimit is how long the other consumer must not have fetched.
	idleLimit = 30 * time.Second
)

// fetched receives the messages of a named subscription, which Zato keeps until they are confirmed. One goroutine,
// that of run, makes all calls: each takes messages and reports what the pipeline has settled. Another one, forward,
// hands the messages to the pipeline.
//
// After a call without an answer, Zato may have handed out messages that did not arrive. Then run subscribes again, and
// Zato hands out everything again that is not confirmed. What the pipeline still has is dropped.
type fetched struct {
	*subscriber
	*outstanding

	// Only run and close use the following fields.
	queue wsx.Queue
	// inDoubt is true if an attempt to subscribe may have changed the holder, and none has succeeded since.
	inDoubt bool
}

func newFetched(s *subscriber, limits wsx.Limits) *fetched {
	return &fetched{subscriber: s, outstanding: newOutstanding(limits, s.in.prefetch, s.in.shared)}
}

// subscribe makes the subscription or takes it over. Later it subscribes with the holder that it had, so that it does
// not take the subscription from another consumer.
func (f *fetched) subscribe(ctx context.Context) error {
	f.subscribed.Store(false)
	if err := f.awaitClient(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, wsx.DefaultCallTimeout)
	defer cancel()
	sub := wsx.NamedSubscription{Topic: f.sub.Topic, Name: f.in.name, Shared: f.in.shared, Holder: f.queue.Holder}
	standsBy := f.standsBy.Load()
	if standsBy {
		f.confirmLate(ctx)
		sub.IfIdle = idleLimit
	}
	if standsBy || f.inDoubt {
		sub.Holder = ""
	}
	q, err := f.client.SubscribeNamed(ctx, sub)
	if errors.Is(err, wsx.ErrNoSubscription) {
		sub.Holder = ""
		q, err = f.client.SubscribeNamed(ctx, sub)
	}
	f.inDoubt = err != nil && (f.inDoubt || mayHaveSubscribed(err))
	if errors.Is(err, wsx.ErrTakenOver) {
		f.standBy(ctx)
	}
	if err != nil {
		return f.explain(ctx, err)
	}
	if q.Created && f.queue.Key != "" {
		f.log().Warnf("The subscription %q to topic %q was deleted and is made again: messages that were published "+
			"meanwhile may be lost", f.in.name, f.sub.Topic)
	}
	if standsBy {
		f.log().Infof("This process has the subscription %q to topic %q again", f.in.name, f.sub.Topic)
	}
	f.queue = q
	f.standsBy.Store(false)
	f.subscribed.Store(true)
	return nil
}

// mayHaveSubscribed reports whether Zato may have subscribed although the attempt failed: the answer was lost, or the
// database failed while it committed.
func mayHaveSubscribed(err error) bool {
	var answer *wsx.ServerError
	if errors.As(err, &answer) {
		return answer.Status == http.StatusInternalServerError
	}
	return wsx.SendStatusOf(err) == wsx.MaybeSent
}

// explain returns the error of a call. If the server is back without the companion services, it refuses the call as if
// the user had no right to the topic.
func (f *fetched) explain(ctx context.Context, err error) error {
	if !errors.Is(err, wsx.ErrSubscribeFailed) {
		return err
	}
	gateway, describeErr := f.in.lease.Describe(ctx, f.client)
	if describeErr != nil || gateway.Offers(wsx.AbilityFetch) {
		return err
	}
	return fmt.Errorf("topic %q: the messages wait in the subscription %q: %w", f.sub.Topic, f.in.name, wsx.ErrNoCompanion)
}

// receive fetches until a call fails.
func (f *fetched) receive(ctx context.Context) error {
	for first := true; ctx.Err() == nil; {
		r := f.request(first, time.Now())
		if r == nil {
			f.awaitSettled(ctx)
			continue
		}
		answer, err := f.client.Fetch(ctx, f.queue, *r)
		switch {
		case errors.Is(err, wsx.ErrMessageTooLarge):
			f.reported(r)
			f.holdFetches(err)
			continue
		case errors.Is(err, wsx.ErrTakenOver):
			f.standBy(ctx)
			return err
		case err != nil:
			return f.explain(ctx, err)
		}
		f.reported(r)
		for range f.add(answer.Messages) {
			f.countDuplicate()
		}
		if r.Max > 0 {
			first = false
			f.succeeded()
		}
		if len(answer.Messages) == f.unsettled() {
			f.awaitOutcome(ctx)
		}
	}
	return ctx.Err()
}

// holdFetches logs that a message cannot be fetched, and takes no message for a while. Calls report meanwhile what the
// pipeline settles.
func (f *fetched) holdFetches(err error) {
	err = f.in.lease.TranslateConnect(err)
	wait := f.backOff(err)
	f.logFailure(err, wait)
	f.hold(time.Now().Add(wait))
}

// settleTime is how long awaitOutcome waits.
const settleTime = 50 * time.Millisecond

// awaitOutcome waits until the pipeline has settled everything, but not for long. Then the next call confirms it.
// Otherwise the confirmation would wait for the end of that call, and the messages would come again if the process were
// killed meanwhile. receive does not wait if the pipeline is still busy with earlier messages.
func (f *fetched) awaitOutcome(ctx context.Context) {
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	for f.unsettled() > 0 {
		select {
		case <-f.settled:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// awaitSettled waits until there may be a reason for the next call.
func (f *fetched) awaitSettled(ctx context.Context) {
	timer := time.NewTimer(f.nextCall())
	defer timer.Stop()
	select {
	case <-f.settled:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// pause waits. The messages that have arrived flow meanwhile.
func (*fetched) pause(ctx context.Context, wait time.Duration) {
	_ = connection.Sleep(ctx, wait) // the caller looks at ctx
}

// forward hands messages to the pipeline until ctx ends.
func (f *fetched) forward(ctx context.Context) {
	for {
		select {
		case <-f.arrived:
		case <-ctx.Done():
			return
		}
		messages := f.take()
		if len(messages) == 0 {
			continue
		}
		b := &batch{acceptedFrame: acceptedFrame{messages: messages}}
		f.countReceived(&b.acceptedFrame)
		tracked := f.in.fetchedInFlight.add(messages, func() {})
		b.settle = func(messages []message, as outcome) {
			f.settle(messages, as)
			tracked(messages, as)
		}
		f.in.enqueue(b)
	}
}

// standBy notes and logs that another consumer has the subscription. Zato has given it all messages that are not
// confirmed.
func (f *fetched) standBy(ctx context.Context) {
	f.dropWaiting()
	f.subscribed.Store(false)
	if f.standsBy.Swap(true) {
		return
	}
	client := "unknown"
	subscriptions, err := f.client.NamedSubscriptions(ctx, f.sub.Topic, f.in.name)
	if err == nil && len(subscriptions) == 1 && subscriptions[0].Consumer != nil {
		client = subscriptions[0].Consumer.ClientID
	}
	f.log().Warnf("Another consumer has the subscription %q to topic %q now, the client %s. This process receives "+
		"nothing until that one ends. To receive in both, set %s: true", f.in.name, f.sub.Topic, client, fieldShared)
}

// confirmLate confirms what the pipeline has acknowledged since another consumer has the subscription. Zato accepts
// that, and the other consumer then does not get these messages.
func (f *fetched) confirmLate(ctx context.Context) {
	r := f.confirmation()
	if len(r.Confirmed) == 0 {
		return
	}
	_, err := f.client.Fetch(ctx, f.queue, *r)
	if err == nil || errors.Is(err, wsx.ErrTakenOver) {
		f.reported(r)
	}
}

// close confirms what the pipeline has acknowledged, gives the rest back to Zato, and closes the connection.
func (f *fetched) close(ctx context.Context) {
	if f.queue.Key == "" {
		_ = f.client.Close()
		return
	}
	requests, left := f.final()
	release := func(c *wsx.Client) error { return f.release(ctx, c, requests) }
	var err error
	switch {
	case len(requests) == 0 && !f.in.unsubscribeOnClose:
	case f.client.Connected() && f.client.Abandoned() == 0:
		err = release(f.client)
	default: // the connection has ended, or is busy with a call that the server has not answered in time
		var closing sync.WaitGroup
		closing.Go(func() { _ = f.client.Close() })
		err = f.in.lease.Use(ctx, release)
		closing.Wait()
	}
	_ = f.client.Close()
	f.logClosed(err, left)
}

// release makes the last calls over the connection of a client.
func (f *fetched) release(ctx context.Context, client *wsx.Client, requests []wsx.FetchRequest) error {
	for _, r := range requests {
		r.Release = r.Release && !f.standsBy.Load()
		if _, err := client.Fetch(ctx, f.queue, r); err != nil {
			return err
		}
	}
	if f.in.unsubscribeOnClose {
		if _, err := client.UnsubscribeNamed(ctx, f.sub.Topic, f.in.name); err != nil {
			f.warnStays(err)
		}
	}
	return nil
}

// logClosed logs the outcome of release, and how many messages the pipeline has left.
func (f *fetched) logClosed(err error, left int) {
	if err != nil && !errors.Is(err, wsx.ErrTakenOver) {
		f.log().Warnf("Could not release the subscription %q to topic %q, so a consumer that stands by waits for %s; "+
			"nothing is lost: %v", f.in.name, f.sub.Topic, idleLimit, err)
	}
	if left > 0 {
		f.log().Infof("%d messages of topic %q were not acknowledged by the pipeline before it stopped: they stay in their "+
			"queue in Zato and come again", left, f.sub.Topic)
	}
}
