package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/zato-connect/zato-connect/wsx"
)

// subscribe tries whether a topic can be received, if it is asked to: a first
// subscriber is given what was published before there was any.
func (t *connectionCheck) subscribe(ctx context.Context, topic topic, opts Options) Result {
	r := Result{Check: "subscribe", Topic: topic.name, Outcome: NotTested}
	if !opts.Subscribe {
		r.Detail = "it would take what waits for a first subscriber; --subscribe does it all the same"
		return r
	}
	taken, err := t.trySubscribe(ctx, topic)
	switch {
	case err != nil:
		r.refused(err, "subscriber's")
	case taken > 0:
		r.Outcome, r.Detail = Warning, fmt.Sprintf("%d messages came meanwhile, which nobody else gets", taken)
	default:
		r.Outcome = OK
	}
	return r
}

// trySubscribe subscribes and unsubscribes, and where the subscription is durable
// resumes it in between, as a restarted pipeline would. It returns how many messages
// came.
func (t *connectionCheck) trySubscribe(ctx context.Context, topic topic) (int, error) {
	first, err := wsx.New(t.client())
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
		return received(ctx, first), err
	}
	second, err := wsx.New(t.client())
	if err != nil {
		return 0, err
	}
	err = second.Resume(ctx, wsx.Subscription{Topic: topic.name, Key: key, Durable: true})
	holder := second
	if err != nil {
		holder = first
	}
	err = errors.Join(err, holder.Unsubscribe(ctx, topic.name))
	return received(ctx, first) + received(ctx, second), err
}

// received closes a client and counts the messages that it had read.
func received(ctx context.Context, client *wsx.Client) int {
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
