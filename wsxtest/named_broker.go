package wsxtest

import (
	"slices"
	"time"
)

// errTaken is the error for a consumer that does not have the subscription.
func errTaken() *StatusError {
	return &StatusError{409, "Another consumer has this subscription now"}
}

func noSuchSubscription() *StatusError {
	return &StatusError{404, "No such subscription"}
}

// findNamed returns the subscription of an endpoint with a topic and a name, or nil.
// The caller holds mu.
func (b *broker) findNamed(endpoint, topic, name string) *namedSubscription {
	t := b.topics[topic]
	if t == nil {
		return nil
	}
	i := slices.IndexFunc(t.named, func(s *namedSubscription) bool { return s.endpoint == endpoint && s.name == name })
	if i < 0 {
		return nil
	}
	return t.named[i]
}

// hasNamed reports whether a subscription exists. It is an error if the topic does
// not exist.
func (b *broker) hasNamed(endpoint, topic, name string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.findTopic(topic) == nil {
		return false, noSuchTopic(topic)
	}
	return b.findNamed(endpoint, topic, name) != nil, nil
}

// subscribeNamed finds or makes a subscription and gives it to a consumer.
func (b *broker) subscribeNamed(c *session, req subscribeRequest) (subscribeAnswer, error) {
	client := c.consumer()
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.findTopic(req.topic)
	if t == nil {
		return subscribeAnswer{}, noSuchTopic(req.topic)
	}
	sub := b.findNamed(c.channel.Path, req.topic, req.name)
	created := sub == nil
	switch {
	case created && req.holder != nil:
		return subscribeAnswer{}, noSuchSubscription()
	case created:
		sub = newNamedSubscription(b.newKey(req.name), req.topic, req.name, c.channel.Path)
		b.named[sub.key] = sub
		t.named = append(t.named, sub)
		for _, m := range t.backlog {
			sub.add(m)
		}
		t.backlog = nil
	case !sub.free(req, now):
		return subscribeAnswer{}, errTaken()
	}
	given := subscribeAnswer{SubKey: sub.key, Created: created}
	given.GivenBack = sub.give(req, client, now)
	if holder := sub.holder; holder != "" {
		given.Holder = &holder
	}
	return given, nil
}

// free reports whether a request may have the subscription.
func (s *namedSubscription) free(req subscribeRequest, now time.Time) bool {
	if s.holder == "" && (req.shared || !s.shared) {
		return true
	}
	if req.holder != nil && *req.holder != s.holder {
		return false
	}
	return req.ifIdle == nil || s.idle(now) >= *req.ifIdle
}

// give gives the subscription to a consumer. It returns how many messages the one
// before had.
func (s *namedSubscription) give(req subscribeRequest, client *consumer, now time.Time) int {
	defer s.broadcast()
	s.shared, s.holder, s.consumer = req.shared, "", nil
	s.used = now
	if req.shared {
		s.endMissingLeases(now)
		return 0
	}
	s.holder, s.consumer = randomHex(16), client
	return s.giveBackAll()
}

// endMissingLeases makes what a consumer of an exclusive subscription had available.
func (s *namedSubscription) endMissingLeases(now time.Time) {
	for _, r := range s.rows {
		if r.unconfirmed && r.leaseEnd.IsZero() {
			r.leaseEnd = now
		}
	}
}

// ownNamed returns a subscription of the channel of c. The caller holds mu.
func (b *broker) ownNamed(c *session, key string) (*namedSubscription, error) {
	sub := b.named[key]
	switch {
	case sub == nil:
		return nil, noSuchSubscription()
	case sub.endpoint != c.channel.Path, slices.Contains(c.channel.NoSubscribe, sub.topic):
		return nil, notAllowed()
	}
	return sub, nil
}

// settle does everything that a fetch asks for, except for fetching. It returns the
// number of messages that were confirmed. That is done even for a consumer that no
// longer has the subscription.
func (b *broker) settle(c *session, req fetchRequest, now time.Time) (*namedSubscription, int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sub, err := b.ownNamed(c, req.subKey)
	if err != nil {
		return nil, 0, err
	}
	confirmed := sub.confirm(req.confirmed)
	if !sub.hasConsumer(req.holder) {
		return nil, 0, errTaken()
	}
	sub.used = now
	sub.fetching++
	for _, r := range sub.unconfirmedRows(req.returned) {
		r.giveBack()
	}
	if sub.shared {
		for _, r := range sub.unconfirmedRows(req.renewed) {
			r.leaseEnd = now.Add(req.lease)
		}
	} else if req.release {
		sub.giveBackAll()
		sub.holder, sub.consumer = "", nil
	}
	if len(req.returned) > 0 || req.release {
		sub.broadcast()
	}
	return sub, confirmed, nil
}

// hasConsumer reports whether a caller may fetch.
func (s *namedSubscription) hasConsumer(holder *string) bool {
	if holder == nil {
		return s.shared
	}
	return s.holder != "" && s.holder == *holder
}

// fetched ends what settle began.
func (b *broker) fetched(sub *namedSubscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sub.fetching--
	sub.used = time.Now()
}

// waiting says when a fetch that got nothing has to look again.
type waiting struct {
	changed  <-chan struct{}
	leaseEnd time.Time // zero if there is no lease
}

// handOut hands out messages of a subscription.
func (b *broker) handOut(sub *namedSubscription, req fetchRequest) ([]fetchedMessage, waiting, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case sub.deleted:
		return nil, waiting{}, noSuchSubscription()
	case !sub.hasConsumer(req.holder):
		return nil, waiting{}, errTaken()
	}
	messages, err := sub.handOut(req, time.Now())
	if err != nil || len(messages) > 0 {
		return messages, waiting{}, err
	}
	return nil, waiting{sub.changed, sub.nextLeaseEnd()}, nil
}

// listNamed describes the subscriptions of an endpoint that a request asks for.
func (b *broker) listNamed(endpoint string, req namedRequest) []listedSubscription {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	all := []listedSubscription{}
	for _, sub := range b.named {
		if sub.endpoint == endpoint && req.matches(sub) {
			all = append(all, sub.listed(now))
		}
	}
	slices.SortFunc(all, listedSubscription.compare)
	return all
}

// unsubscribeNamed deletes a subscription and returns how many messages it had.
func (b *broker) unsubscribeNamed(endpoint string, req namedRequest) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sub := b.findNamed(endpoint, req.topic, req.name)
	if sub == nil {
		return 0, noSuchSubscription()
	}
	b.removeNamed(sub)
	waiting, unconfirmed := sub.depth(time.Now())
	return waiting + unconfirmed, nil
}

// removeNamed deletes a subscription and its queue. The caller holds mu.
func (b *broker) removeNamed(sub *namedSubscription) {
	delete(b.named, sub.key)
	t := b.topics[sub.topic]
	t.named = slices.DeleteFunc(t.named, func(other *namedSubscription) bool { return other == sub })
	sub.deleted = true
	sub.broadcast()
}

// info describes the subscription for tests.
func (s *namedSubscription) info(now time.Time) SubscriptionInfo {
	info := SubscriptionInfo{SubKey: s.key, Topic: s.topic, Durable: true, Name: s.name, Shared: s.shared}
	info.Depth, info.Unconfirmed = s.depth(now)
	if s.consumer != nil {
		info.ClientID = s.consumer.ClientID
	}
	return info
}
