package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/zato-connect/zato-connect/wsx"
)

// subscribe tests whether the user may subscribe to a topic, if the options ask for it.
// Zato gives the first subscriber the messages that were published before, so a test
// subscription can take messages from a pipeline.
func (c *connectionCheck) subscribe(ctx context.Context, topic topic, opts Options) Result {
	r := Result{Check: stepSubscribe, Topic: topic.name}
	if !opts.Subscribe {
		r.Outcome, r.Detail = NotTested, takesMessages
		return r
	}
	r.subscribed(c.trySubscribe(ctx, topic))
	return r
}

// Details of a test that the options do not ask for.
const (
	takesMessages = "a test would take messages that wait for a first subscriber; if none wait, use --subscribe to test it"
	wasSubscribed = "the user had the right when the subscription was made; to test it again, with another " +
		"subscription, use --subscribe"
)

// subscribed sets the result of a test subscription, which received messages.
func (r *Result) subscribed(received int, err error) {
	switch {
	case err != nil:
		r.fail(err, "subscriber's")
	case received > 0:
		r.Outcome = Warning
		r.Detail = fmt.Sprintf("the test received %d messages, which no other subscriber gets", received)
		r.Remedy = "publish them again if a pipeline needs them"
	default:
		r.Outcome = OK
	}
}

// trySubscribe subscribes and unsubscribes. In between, it resumes a durable subscription
// in a second client, as a restarted pipeline does. It returns how many messages the
// clients received.
func (c *connectionCheck) trySubscribe(ctx context.Context, topic topic) (received int, err error) {
	first, err := wsx.New(c.clientConfig())
	if err != nil {
		return 0, err
	}
	defer first.Close() //nolint:errcheck // it always succeeds
	key, err := first.Subscribe(ctx, wsx.Subscription{Topic: topic.name, Durable: topic.durable})
	if err != nil {
		return 0, err
	}
	durable := first.Subscriptions()[0].Durable
	if !durable {
		err := first.Unsubscribe(ctx, topic.name)
		return drain(ctx, first), err
	}
	second, err := wsx.New(c.clientConfig())
	if err != nil {
		return 0, err
	}
	err = second.Resume(ctx, wsx.Subscription{Topic: topic.name, Key: key, Durable: true})
	subscriber := second
	if err != nil {
		subscriber = first
	}
	err = errors.Join(err, subscriber.Unsubscribe(ctx, topic.name))
	return drain(ctx, first) + drain(ctx, second), err
}

// drain closes a client and counts the messages that it received.
func drain(ctx context.Context, client *wsx.Client) int {
	_ = client.Close() // it always succeeds
	count := 0
	for {
		frame, err := client.Receive(ctx)
		if err != nil {
			return count
		}
		count += len(frame.Messages)
	}
}
