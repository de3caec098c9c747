package input

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// keySyncInterval is how often the cached keys are checked. A cache may lose an entry, and another process may take a
// subscription over, which Zato does not report (docs/protocol.md, "Subscriptions").
const keySyncInterval = 5 * time.Second

// withCachedKey returns the configured subscription, with the cached key if there is one. It returns an error if the
// cache fails: a new subscription would leave the queue of the former one behind.
func (s *pushed) withCachedKey(ctx context.Context) (wsx.Subscription, error) {
	sub := s.sub
	if s.in.keys == nil || sub.Mode == wsx.SubscribeNew {
		return sub, nil
	}
	cached, err := s.in.keys.load(ctx, sub)
	switch {
	case err == nil:
		sub.Key = wsx.SubKey(cached.SubKey)
		return sub, nil
	case !errors.Is(err, errNoCachedKey):
		return sub, fmt.Errorf("loading the key of the subscription to topic %q: %w", sub.Topic, err)
	case sub.Key != "":
		return sub, nil
	case sub.Mode == wsx.ResumeOnly:
		return sub, fmt.Errorf("topic %q: %w: %w: subscribe first with another mode, or add the key to %s",
			sub.Topic, wsx.ErrResumeFailed, err, fieldSubKeys)
	}
	s.warnNewSubscription(err)
	return sub, nil
}

// warnNewSubscription logs once that there is no subscription to resume.
func (s *pushed) warnNewSubscription(reason error) {
	if s.warnedNew {
		return
	}
	s.warnedNew = true
	s.log().Warnf("Making a new subscription to topic %q: %v. This is normal at the first start. At a later start, "+
		"messages that were published since the last one may be lost", s.sub.Topic, reason)
}

// saveFirstKey caches the key of the first subscription. The topic counts as subscribed only once this has succeeded.
func (s *pushed) saveFirstKey(ctx context.Context) error {
	key, ok := s.keyToCache()
	if !ok || s.keySaved.Load() {
		return nil
	}
	if err := s.in.keys.save(ctx, s.sub, key); err != nil {
		return fmt.Errorf("saving the key of the subscription to topic %q: %w", s.sub.Topic, err)
	}
	s.keySaved.Store(true)
	return nil
}

// keyToCache returns the key of the subscription, and whether it belongs in the cache. It does not if the
// subscription ends with its connection, or if the key is the configured one.
func (s *pushed) keyToCache() (wsx.SubKey, bool) {
	if s.in.keys == nil {
		return "", false
	}
	for _, sub := range s.client.Subscriptions() {
		return sub.Key, sub.Durable && sub.Key != s.sub.Key
	}
	return "", false
}

// syncKeys keeps the cache up to date until the input is closed.
func (in *input) syncKeys() {
	ticker := time.NewTicker(keySyncInterval)
	defer ticker.Stop()
	for {
		select {
		case <-in.keyChanged:
		case <-ticker.C:
		case <-in.ctx.Done():
			return
		}
		for _, s := range in.subscribers {
			if key, ok := s.pushed.keyToCache(); ok && s.pushed.keySaved.Load() && s.client.Connected() {
				s.pushed.syncKey(key)
			}
		}
	}
}

// syncKey saves the key if the cache does not have it, and warns if another process owns the entry. After a reconnect
// this input has the subscription again, so it takes the entry back, and the other process gets the warning.
func (s *pushed) syncKey(key wsx.SubKey) {
	ctx, cancel := context.WithTimeout(s.in.ctx, keySyncInterval)
	defer cancel()
	keys := s.in.keys
	reconnected := s.wasDisconnected.Swap(false)
	cached, err := keys.load(ctx, s.sub)
	switch {
	case err == nil && cached.Owner != keys.owner && !reconnected:
		s.warnOwner(cached, key)
		return
	case err == nil && cached.Owner == keys.owner && cached.SubKey == key.Reveal():
		return
	case err == nil || errors.Is(err, errNoCachedKey):
		s.warnedOwner = ""
		s.takenOver.Store(false)
		err = keys.save(ctx, s.sub, key)
	}
	if err != nil && s.in.ctx.Err() == nil && s.failedSaves.Allow() {
		s.log().Warnf("Could not save the key of the subscription to topic %q, the next attempt is in %s: %v",
			s.sub.Topic, keySyncInterval, err)
	}
}

// warnOwner logs once that another process owns the cached key.
func (s *pushed) warnOwner(cached cachedKey, key wsx.SubKey) {
	s.takenOver.Store(cached.SubKey == key.Reveal())
	switch {
	case s.warnedOwner == cached.Owner:
	case cached.SubKey == key.Reveal():
		s.log().Warnf("The subscription to topic %q was taken over by %s: this process receives nothing more. "+
			"Set a different %s in each process", s.sub.Topic, cached.Owner, fieldCachePrefix)
	default:
		s.log().Warnf("The key of the subscription to topic %q is no longer cached: %s saved its own key in the same "+
			"entry. Set a different %s in each process", s.sub.Topic, cached.Owner, fieldCachePrefix)
	}
	s.warnedOwner = cached.Owner
}

// unsubscribe ends the subscription and removes its key from the cache. If another process has taken the subscription
// over, it returns an error and leaves both alone.
func (s *pushed) unsubscribe(ctx context.Context) error {
	keys := s.in.keys
	key, ok := s.keyToCache()
	if !ok {
		return s.client.Unsubscribe(ctx, s.sub.Topic)
	}
	cached, err := keys.load(ctx, s.sub)
	switch {
	case err != nil && !errors.Is(err, errNoCachedKey):
		return fmt.Errorf("another process may have taken it over: %w", err)
	case err == nil && cached.Owner != keys.owner && cached.SubKey == key.Reveal():
		return fmt.Errorf("%s has taken it over", cached.Owner)
	}
	if err := s.client.Unsubscribe(ctx, s.sub.Topic); err != nil || cached.Owner != keys.owner {
		return err
	}
	if err := keys.remove(ctx, s.sub.Topic); err != nil {
		s.log().Warnf("Unsubscribed from topic %q, but its key stays in the cache: %v", s.sub.Topic, err)
	}
	return nil
}
