package input

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// lookAfter is how often the remembered keys are looked at, for a cache may forget
// and another process may take a subscription over, of which Zato says nothing
// (docs/protocol.md, "Subscriptions").
const lookAfter = 5 * time.Second

// remembers tells whether the cache has the key of a reader's subscription. One that
// the configuration names needs no remembering.
func (in *input) remembers(r *reader) bool { return in.keys != nil && r.sub.Key == "" }

// recallKey gives a subscription the key that is remembered, if any. Where the cache
// cannot tell, that is an error: to subscribe anew would leave a queue behind.
func (in *input) recallKey(ctx context.Context, sub *wsx.Subscription) error {
	if in.keys == nil || sub.Key != "" || sub.Mode == wsx.SubscribeAnew {
		return nil
	}
	known, err := in.keys.load(ctx, sub.Topic)
	switch {
	case err == nil:
		sub.Key = wsx.SubKey(known.SubKey)
		return nil
	case !errors.Is(err, errForgotten):
		return fmt.Errorf("recalling the subscription to topic %q: %w", sub.Topic, err)
	case sub.Mode == wsx.ResumeOnly:
		return fmt.Errorf("topic %q: %w: %w: let it be subscribed to first, with another mode, or name its key in %s",
			sub.Topic, wsx.ErrResume, err, fieldSubKeys)
	}
	in.log.Warnf("Subscribing to topic %q anew, for %v. At the first start that is as it should be; "+
		"at any other, what was published meanwhile may be lost", sub.Topic, err)
	return nil
}

// storeFirstKey remembers the key of a reader's first subscription, before anything
// of it is delivered.
func (in *input) storeFirstKey(ctx context.Context, r *reader) error {
	sub, durable := in.durable(r)
	if r.stored || !durable {
		return nil
	}
	if err := in.keys.store(ctx, sub.Topic, sub.Key); err != nil {
		return fmt.Errorf("remembering the subscription to topic %q: %w", sub.Topic, err)
	}
	r.stored = true
	return nil
}

// durable returns the subscription of a reader, if it is one to remember.
func (in *input) durable(r *reader) (wsx.Subscription, bool) {
	if !in.remembers(r) {
		return wsx.Subscription{}, false
	}
	for _, sub := range r.client.Subscriptions() {
		return sub, sub.Durable
	}
	return wsx.Subscription{}, false
}

// keepKeys keeps the cache in step with the subscriptions until the input is closed.
func (in *input) keepKeys() {
	tick := time.NewTicker(lookAfter)
	defer tick.Stop()
	for {
		select {
		case <-in.renewed:
		case <-tick.C:
		case <-in.life.Done():
			return
		}
		for _, r := range in.readers {
			if sub, durable := in.durable(r); durable {
				in.keepKey(r, sub)
			}
		}
	}
}

// keepKey stores a key that the cache does not have, and notices when the entry has
// become somebody else's.
func (in *input) keepKey(r *reader, sub wsx.Subscription) {
	ctx, cancel := context.WithTimeout(in.life, lookAfter)
	defer cancel()
	known, err := in.keys.load(ctx, sub.Topic)
	switch {
	case err == nil && known.Owner != in.keys.owner:
		if !r.taken {
			in.log.Warnf("The subscription to topic %q was taken over by %s: nothing more comes here. "+
				"Give each process a %s of its own", sub.Topic, known.Owner, fieldCachePrefix)
		}
		r.taken = true
		return
	case err == nil && known.SubKey == sub.Key.Reveal():
		return
	case err == nil || errors.Is(err, errForgotten):
		err = in.keys.store(ctx, sub.Topic, sub.Key)
	}
	if err != nil && in.life.Err() == nil {
		in.log.Warnf("The key of the subscription to topic %q could not be remembered, which is tried again in %s: %v",
			sub.Topic, lookAfter, err)
	}
}
