package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/wsx"
)

const (
	// fetchSize is the largest number of messages that a fetch takes.
	fetchSize = 100
	// fetchWait is how long a fetch waits for a message. An interrupt ends the command after that time.
	fetchWait = time.Second
	// fetchPause is the time between a fetch that failed and the next one.
	fetchPause = time.Second
	// interruptedFetch bounds a fetch that waits when the command is interrupted, and the last call.
	interruptedFetch = 5 * time.Second
)

// receiveNamed prints the messages of a named subscription and confirms what it has printed.
func (p *printer) receiveNamed(ctx context.Context, c *ucli.Context, client *wsx.Client) error {
	if c.NArg() != 1 {
		return fmt.Errorf("--%s needs exactly one topic: run the command once for each topic", flagName)
	}
	if err := requireAbility(ctx, client, wsx.AbilityFetch, namedSubscriptions); err != nil {
		return err
	}
	sub := wsx.NamedSubscription{Topic: c.Args().First(), Name: c.String(flagName), Shared: c.Bool(flagShared)}
	queue, err := client.SubscribeNamed(ctx, sub)
	if err != nil {
		return err
	}
	f := &fetcher{printer: p, client: client, log: slog.New(logHandler(c)), sub: sub, queue: queue}
	// A fetch ends only after its answer, so that an interrupt leaves no messages with this command.
	fetching, stop := delayedEnd(ctx, interruptedFetch)
	defer stop()
	for err == nil && ctx.Err() == nil && (p.limit == 0 || p.printed < p.limit) {
		err = f.next(fetching)
		if repeatable(err) {
			err = f.resubscribe(ctx, err)
		}
	}
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		err = nil // the normal end
	case errors.Is(err, wsx.ErrTakenOver):
		err = fmt.Errorf("%w: zato-connect zato subscriptions shows it; with --%s, both receive", err, flagShared)
	}
	return errors.Join(err, f.end(ctx))
}

// fetcher is the only consumer, or one of several, of a named subscription.
type fetcher struct {
	*printer

	client *wsx.Client
	log    *slog.Logger
	sub    wsx.NamedSubscription
	queue  wsx.Queue
	// unconfirmed are the ids of the messages that were printed and may not be confirmed. If they come again, the printer
	// drops them.
	unconfirmed, unprinted []string
}

// next confirms the messages that were printed, and fetches and prints the next ones.
func (f *fetcher) next(ctx context.Context) error {
	r := wsx.FetchRequest{Confirmed: f.unconfirmed, Max: fetchSize, Wait: fetchWait}
	if f.limit > 0 {
		r.Max = min(r.Max, f.limit-f.printed)
	}
	fetched, err := f.client.Fetch(ctx, f.queue, r)
	if err != nil {
		return err
	}
	f.unconfirmed = nil
	for i := range fetched.Messages {
		if err == nil {
			err = f.print(wsx.Frame{Messages: fetched.Messages[i : i+1]})
		}
		if id := fetched.Messages[i].MsgID; err == nil {
			f.unconfirmed = append(f.unconfirmed, id)
		} else {
			f.unprinted = append(f.unprinted, id)
		}
	}
	return err
}

// resubscribe subscribes again after a call failed, so that messages in an answer that was lost come again. It returns
// nil, or the error of a call that cannot be repeated.
func (f *fetcher) resubscribe(ctx context.Context, reason error) error {
	sub := f.sub
	sub.Holder = f.queue.Holder
	for repeatable(reason) {
		var refused *wsx.ServerError
		if errors.As(reason, &refused) { // the client logs a lost connection itself
			f.log.Warn("could not fetch", "error", reason, "next_attempt_in", fetchPause)
		}
		select {
		case <-time.After(fetchPause):
		case <-ctx.Done():
			return ctx.Err()
		}
		queue, err := f.client.SubscribeNamed(ctx, sub)
		if err == nil {
			f.queue = queue
		} else if wsx.SendStatusOf(err) != wsx.NotSent {
			sub.Holder = "" // it may be another one now
		}
		reason = err
	}
	return reason
}

// end confirms the messages that were printed, and returns the others. A consumer that has lost the subscription has
// nothing to return, and what it printed is confirmed by the call that failed.
func (f *fetcher) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), interruptedFetch)
	defer cancel()
	r := wsx.FetchRequest{Confirmed: f.unconfirmed, Returned: f.unprinted, Release: !f.sub.Shared}
	_, err := f.client.Fetch(ctx, f.queue, r)
	if err == nil || errors.Is(err, wsx.ErrTakenOver) || len(r.Confirmed)+len(r.Returned) == 0 {
		return nil
	}
	return fmt.Errorf("%d messages were printed and may come again: %w", len(r.Confirmed), err)
}

// repeatable reports whether a call that does nothing twice may succeed when it is repeated.
func repeatable(err error) bool {
	return errors.Is(err, wsx.ErrNotConnected) || connection.IsTransient(err)
}

// delayedEnd returns a context that ends some time after its parent.
func delayedEnd(parent context.Context, delay time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		select {
		case <-time.After(delay):
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() { stop(); cancel() }
}

// requireAbility returns an error unless the gateway has an ability, which the command needs for use.
func requireAbility(ctx context.Context, client *wsx.Client, ability, use string) error {
	gateway, err := client.Describe(ctx)
	switch {
	case err != nil:
		return err
	case gateway.Offers(ability):
		return nil
	case gateway.IsCompanion():
		return fmt.Errorf("the companion services of this server, version %d, do not offer %s: "+
			"read the server's log, which says why, or deploy the file that zato-connect zato services prints",
			gateway.Version, use)
	}
	return fmt.Errorf("the gateway of this channel does not offer %s: "+
		"deploy the file that zato-connect zato services prints, and mount the channel on connect.gateway", use)
}
