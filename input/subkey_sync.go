package input

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// keySyncInterval is how often the remembered keys are looked at, for a cache may forget
// and another process may take a subscription over, of which Zato says nothing
// (docs/protocol.md, "Doubts").
const keySyncInterval = 5 * time.Second

// loadKey gives a subscription the key that is remembered, if any. Where the cache
// cannot tell, that is an error: to subscribe anew would leave a queue behind.
func (in *input) loadKey(ctx context.Context, sub *wsx.Subscription) error {
	if in.keys == nil || sub.Mode == wsx.SubscribeNew {
		return nil
	}
	known, err := in.keys.load(ctx, *sub)
	switch {
	case err == nil:
		sub.Key = wsx.SubKey(known.SubKey)
		return nil
	case !errors.Is(err, errNoCachedKey):
		return fmt.Errorf("recalling the subscription to topic %q: %w", sub.Topic, err)
	case sub.Key != "":
		return nil // the configuration knows it
	case sub.Mode == wsx.ResumeOnly:
		return fmt.Errorf("topic %q: %w: %w: let it be subscribed to first, with another mode, or name its key in %s",
			sub.Topic, wsx.ErrResumeFailed, err, fieldSubKeys)
	}
	in.log.Warnf("Subscribing to topic %q anew, for %v. At the first start that is as it should be; "+
		"at any other, what was published meanwhile may be lost", sub.Topic, err)
	return nil
}

// saveFirstKey remembers the key of a reader's first subscription. Until that has
// succeeded, the input is not connected.
func (in *input) saveFirstKey(ctx context.Context, r *subscriber) error {
	key, wanted := in.keyToCache(r)
	if r.keySaved.Load() || !wanted {
		return nil
	}
	if err := in.keys.store(ctx, r.sub, key); err != nil {
		return fmt.Errorf("remembering the subscription to topic %q: %w", r.sub.Topic, err)
	}
	r.keySaved.Store(true)
	return nil
}

// keyToCache returns the key of a reader's subscription, if it has one that is to
// be remembered: not one that does not outlive its connection, and not the one that
// the configuration names.
func (in *input) keyToCache(r *subscriber) (wsx.SubKey, bool) {
	if in.keys == nil {
		return "", false
	}
	for _, sub := range r.client.Subscriptions() {
		return sub.Key, sub.Durable && sub.Key != r.sub.Key
	}
	return "", false
}

// syncKeys keeps the cache in step with the subscriptions until the input is closed.
func (in *input) syncKeys() {
	tick := time.NewTicker(keySyncInterval)
	defer tick.Stop()
	for {
		select {
		case <-in.renewed:
		case <-tick.C:
		case <-in.ctx.Done():
			return
		}
		for _, r := range in.subscribers {
			if key, wanted := in.keyToCache(r); wanted && r.keySaved.Load() && r.client.Connected() {
				in.syncKey(r, key)
			}
		}
	}
}

// syncKey stores a key that the cache does not have, and notices when the entry has
// become somebody else's. Who reconnects takes the subscription back, so that the
// other one is to notice.
func (in *input) syncKey(r *subscriber, key wsx.SubKey) {
	ctx, cancel := context.WithTimeout(in.ctx, keySyncInterval)
	defer cancel()
	reconnected := r.reconnected.Swap(false)
	known, err := in.keys.load(ctx, r.sub)
	switch {
	case err == nil && known.Owner != in.keys.owner && !reconnected:
		in.warnOwner(r, known, key)
		return
	case err == nil && known.Owner == in.keys.owner && known.SubKey == key.Reveal():
		return
	case err == nil || errors.Is(err, errNoCachedKey):
		r.warnedOwner = ""
		err = in.keys.store(ctx, r.sub, key)
	}
	if err != nil && in.ctx.Err() == nil {
		in.log.Warnf("The key of the subscription to topic %q could not be remembered, which is tried again in %s: %v",
			r.sub.Topic, keySyncInterval, err)
	}
}

// warnOwner says, once, that an entry is another's.
func (in *input) warnOwner(r *subscriber, known cachedKey, key wsx.SubKey) {
	switch {
	case r.warnedOwner == known.Owner:
	case known.SubKey == key.Reveal():
		in.log.Warnf("The subscription to topic %q was taken over by %s: nothing more comes here. "+
			"Give each process a %s of its own", r.sub.Topic, known.Owner, fieldCachePrefix)
	default:
		in.log.Warnf("The key of the subscription to topic %q is not remembered any more: %s remembers its own in the same "+
			"place. Give each process a %s of its own", r.sub.Topic, known.Owner, fieldCachePrefix)
	}
	r.warnedOwner = known.Owner
}

// unsubscribe unsubscribes, unless the subscription is another's by now, and
// forgets the key.
func (in *input) unsubscribe(ctx context.Context, r *subscriber) error {
	key, wanted := in.keyToCache(r)
	if !wanted {
		return r.client.Unsubscribe(ctx, r.sub.Topic)
	}
	known, err := in.keys.load(ctx, r.sub)
	switch {
	case err != nil && !errors.Is(err, errNoCachedKey):
		return fmt.Errorf("whether it is another's is not known: %w", err)
	case err == nil && known.Owner != in.keys.owner && known.SubKey == key.Reveal():
		return fmt.Errorf("it is with %s now", known.Owner)
	}
	if err := r.client.Unsubscribe(ctx, r.sub.Topic); err != nil || known.Owner != in.keys.owner {
		return err
	}
	if err := in.keys.forget(ctx, r.sub.Topic); err != nil {
		in.log.Warnf("The key of topic %q, to which nothing is subscribed any more, stays remembered: %v", r.sub.Topic, err)
	}
	return nil
}
