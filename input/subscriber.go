package input

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/zato-connect/zato-connect/wsx"
)

// subscriber receives one topic.
type subscriber struct {
	sub    wsx.Subscription
	client *wsx.Client
	dedup  *dedup
	// scratch has room for frames that are merged.
	scratch []wsx.Frame

	// subscribed is for the attempt to connect, of which one is made at a time; told
	// is for the goroutine that keeps the keys.
	subscribed  bool
	warnedOwner string // whom the entry in the cache is known to belong to instead
	// keySaved says that the key of the first subscription is in the cache, reconnects
	// that the connection was lost since the cache was looked at.
	keySaved, reconnected atomic.Bool
}

// subscribe makes a reader's subscription, or waits until its client has restored
// it.
func (in *input) subscribe(ctx context.Context, r *subscriber) error {
	if err := in.lease.AwaitClient(ctx, r.client); err != nil {
		return fmt.Errorf("topic %q: %w", r.sub.Topic, err)
	}
	ctx, cancel := context.WithTimeout(ctx, wsx.DefaultCallTimeout)
	defer cancel()
	if !r.subscribed {
		sub := r.sub
		err := in.loadKey(ctx, &sub)
		if err == nil {
			err = r.subscribe(ctx, sub)
		}
		if err != nil {
			return in.lease.TranslateConnect(err)
		}
		r.subscribed = true
	}
	return in.saveFirstKey(ctx, r)
}

func (r *subscriber) subscribe(ctx context.Context, sub wsx.Subscription) error {
	var err error
	switch sub.Mode {
	case wsx.ResumeOnly:
		err = r.client.Resume(ctx, sub)
	case wsx.SubscribeNew:
		_, err = r.client.Subscribe(ctx, sub)
	case wsx.SubscribeOrResume:
		_, err = r.client.SubscribeOrResume(ctx, sub)
	}
	return err
}

// receiveLoop receives until the input is closed, over every connection that the client
// opens.
func (in *input) receiveLoop(r *subscriber) {
	for {
		frame, err := r.client.Receive(in.ctx)
		if err != nil || !in.forward(r, &frame) {
			return // what was not passed, the ledger knows
		}
	}
}

// shutdown ends a reader's subscription, where that is wanted, and its connection, and
// keeps what it had read and nobody had taken.
func (in *input) shutdown(ctx context.Context, r *subscriber) {
	if in.unsubscribeOnClose && r.client.Connected() {
		if err := in.unsubscribe(ctx, r); err != nil {
			in.log.Warnf("The subscription to topic %q stays at the server: %v", r.sub.Topic, err)
		}
	}
	_ = r.client.Close()
	for {
		frame, err := r.client.Receive(ctx)
		if err != nil {
			return
		}
		in.forward(r, &frame)
	}
}
