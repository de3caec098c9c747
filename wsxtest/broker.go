package wsxtest

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxBatch is the maximum number of messages in one frame.
const maxBatch = 500

// broker holds topics and subscriptions.
type broker struct {
	// Set by options.
	autoCreate        bool
	duplicates        bool
	reliable          bool
	takeoverDelay     time.Duration
	registrationDelay time.Duration

	// mu guards the fields below. Nothing blocks while holding it.
	mu     sync.Mutex
	topics map[string]*topic
	// stopped is set while the server is stopped or is being stopped.
	stopped bool
	subs    map[string]*subscription
	named   map[string]*namedSubscription // by key
	known   knownIDs
	// attached has the subscriptions that a connection holds, or held until
	// another one took them over.
	attached map[*session][]*subscription
}

// batch is the messages of one frame.
type batch struct {
	sub   *subscription
	items []*item
}

func newBroker() *broker {
	return &broker{
		takeoverDelay: 300 * time.Millisecond,
		topics:        map[string]*topic{},
		subs:          map[string]*subscription{},
		named:         map[string]*namedSubscription{},
		attached:      map[*session][]*subscription{},
	}
}

func (b *broker) addTopic(t Topic) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if existing := b.topics[t.Name]; existing != nil {
		existing.Topic = t
		return
	}
	b.topics[t.Name] = &topic{Topic: t}
}

// findTopic returns a topic, or nil if there is none. It creates the topic if
// autoCreate is set. The caller holds mu.
func (b *broker) findTopic(name string) *topic {
	t := b.topics[name]
	if t == nil && b.autoCreate && name != "" {
		t = &topic{Topic: Topic{Name: name}}
		b.topics[name] = t
	}
	return t
}

// topic returns the settings of a topic and whether it exists.
func (b *broker) topic(name string) (Topic, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.findTopic(name); t != nil {
		return t.Topic, true
	}
	return Topic{}, false
}

// drops reports whether a topic drops what is published now.
func (b *broker) drops(topic string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.findTopic(topic)
	return t != nil && t.drops()
}

// isFull reports whether a topic refuses guaranteed messages. Only those count that wait
// for the first subscriber (transcripts depth-exceeded-nobody and
// depth-not-exceeded-with-subscribers).
func (b *broker) isFull(topic string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.findTopic(topic)
	return t != nil && t.MaxDepthGD > 0 && len(t.backlog) >= t.MaxDepthGD
}

// publish publishes a message to its topic, if there is one.
func (b *broker) publish(m *message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.findTopic(m.topic); t != nil {
		t.publish(m)
	}
}

// publishList publishes the messages of one call and returns the status of each. It
// sets the ids that are missing. A message whose id is known is not published again. If the
// topic is full, publishList also returns how many messages it has in memory.
func (b *broker) publishList(topic string, messages []*message) (statuses []string, fullDepth int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.findTopic(topic)
	statuses = make([]string, len(messages))
	for i, m := range messages {
		if status := b.known.status(m.id, topic); status != "" {
			statuses[i] = status
			continue
		}
		if t.drops() {
			statuses[i] = statusDropped
			continue
		}
		isStored := m.guaranteed || t.storesInMemory(m.published)
		if !isStored && fullDepth == 0 && t.isFullInMemory() {
			fullDepth = t.depthInMemory()
		}
		if !isStored && fullDepth > 0 {
			statuses[i] = statusFull
			continue
		}
		if m.id == "" {
			m.id = newMessageID()
		} else if isStored {
			b.known.add(m.id, topic)
		}
		statuses[i] = statusPublished
		t.publish(m)
	}
	return statuses, fullDepth
}

// subscribe adds a subscription that is attached to c. It reports whether messages
// waited for the first subscriber.
func (b *broker) subscribe(c *session, sub *subscription) (hasBacklog bool, err error) {
	clientID := c.currentClientID()
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.findTopic(sub.topic)
	if t == nil {
		return false, noSuchTopic(sub.topic)
	}
	sub.key = b.newKey(clientID)
	sub.clientID, sub.endpoint, sub.attachedTo = clientID, c.channel.Path, c
	sub.reliable = b.reliable || b.duplicates
	if t.hasConnectedSubscriber() {
		sub.registeredAt = time.Now().Add(b.registrationDelay)
	}
	t.subs = append(t.subs, sub)
	b.subs[sub.key] = sub
	b.attached[c] = append(b.attached[c], sub)
	for _, m := range t.backlog {
		sub.add(m, time.Now())
		if !b.reliable {
			sub.add(m, time.Now()) // transcript right-by-priority
		}
	}
	t.backlog = nil
	return len(sub.items) > 0, nil
}

func noSuchTopic(name string) error {
	return &StatusError{404, fmt.Sprintf("No such topic `%s`", name)}
}

// newKey returns a key that no subscription has. The caller holds mu.
func (b *broker) newKey(name string) string {
	for {
		key := fmt.Sprintf("zpsk.wsx.%s.%s", name, randomHex(3))
		if b.subs[key] == nil && b.named[key] == nil {
			return key
		}
	}
}

// resume attaches an existing subscription to c. It reports whether c had it already.
func (b *broker) resume(c *session, key string) (again bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sub := b.subs[key]
	hasCompanion := c.channel.Gateway == Connect
	switch {
	case sub == nil:
		return false, internalError()
	case sub.endpoint != c.channel.Path:
		return false, notAllowed()
	}
	again = slices.Contains(b.attached[c], sub)
	if !again {
		b.attached[c] = append(b.attached[c], sub)
	}
	if sub.restarted && !hasCompanion && !b.reliable {
		sub.durable = false // transcripts restart-loses-durable and restart-keeps-durable
	}
	sub.attach(c, b.takeoverDelay)
	if hasCompanion {
		b.release(sub, c)
	}
	return again, nil
}

// release takes a subscription from all connections except c, as the companion does when
// a subscription is resumed. Their end does it no harm then. The caller holds mu.
func (b *broker) release(sub *subscription, c *session) {
	sub.previous = nil
	for other, held := range b.attached {
		if other != c {
			b.attached[other] = slices.DeleteFunc(held, func(s *subscription) bool { return s == sub })
		}
	}
}

// unsubscribe deletes a subscription. It returns the messages that c gets again
// nevertheless, because their delivery was due.
func (b *broker) unsubscribe(c *session, key string) (batch, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sub := b.subs[key]
	switch {
	case sub == nil:
		return batch{}, nil
	case sub.endpoint != c.channel.Path && c.channel.Gateway == Connect:
		return batch{}, notAllowed()
	case sub.endpoint != c.channel.Path:
		return batch{}, nil // transcript unsubscribe-by-others
	}
	b.remove(sub)
	if list := sub.lists[c]; list != nil && !list.retryAt.IsZero() && time.Now().After(list.retryAt) {
		return batch{sub, list.items}, nil // transcript backlog-gd
	}
	return batch{}, nil
}

// remove deletes a subscription and its queue. The caller holds mu.
func (b *broker) remove(sub *subscription) {
	delete(b.subs, sub.key)
	isSub := func(other *subscription) bool { return other == sub }
	t := b.topics[sub.topic]
	t.subs = slices.DeleteFunc(t.subs, isSub)
	for c, held := range b.attached {
		b.attached[c] = slices.DeleteFunc(held, isSub)
	}
}

// detach detaches all subscriptions of a connection that has ended. Those that are
// not durable are deleted, unless the server ends the connection because it stops.
func (b *broker) detach(c *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := b.attached[c]
	delete(b.attached, c)
	for _, sub := range held {
		current := sub.attachedTo == c
		switch {
		case !sub.durable && b.reliable && current, !sub.durable && !b.reliable && !b.stopped:
			b.remove(sub)
		default:
			sub.detach(c, b.takeoverDelay)
			if !current && !b.reliable {
				sub.forget()
			}
		}
	}
}

// stop prepares for a stop of the server, which deletes no subscription.
func (b *broker) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
}

// restart lets the broker go on after a stop. All connections have ended.
func (b *broker) restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = false
	for _, sub := range b.subs {
		sub.restarted, sub.lostUntil = true, time.Time{}
	}
	for _, t := range b.topics {
		t.overflow = 0
	}
}

// dequeue returns the next frames that are due for c, one for each subscription.
func (b *broker) dequeue(c *session) []batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	var due []batch
	now := time.Now()
	if !b.reliable {
		b.stall(c)
	}
	for _, sub := range b.attached[c] {
		if items := sub.dequeue(c, now); len(items) > 0 {
			due = append(due, batch{sub, items})
		}
	}
	return due
}

// markDelivered counts the delivery of a batch that was written to c. The
// connection may have ended meanwhile.
func (b *broker) markDelivered(c *session, sent batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sent.sub.written(c, sent.items)
	_, connected := b.attached[c]
	for i, it := range sent.items {
		if !b.duplicates || i%2 == 0 || it.deliveries.Load() > 1 {
			continue
		}
		if !connected {
			sent.sub.give(it, sent.sub.attachedTo)
		}
		sent.sub.items = append(sent.sub.items, it)
	}
}

// requeue returns batches that could not be written to c to their queues.
func (b *broker) requeue(c *session, failed []batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, unsent := range slices.Backward(failed) {
		unsent.sub.requeue(unsent.items, c)
	}
}

// subscriptions describes all subscriptions, ordered by key.
func (b *broker) subscriptions() []SubscriptionInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []SubscriptionInfo
	for _, sub := range b.subs {
		info := SubscriptionInfo{
			SubKey: sub.key, Topic: sub.topic, ClientID: sub.clientID,
			Durable: sub.durable, Depth: sub.depth(), Attached: sub.attachedTo != nil,
		}
		if sub.attachedTo != nil {
			info.AttachedTo = sub.attachedTo.pubClientID
		}
		all = append(all, info)
	}
	for _, sub := range b.named {
		all = append(all, sub.info(time.Now()))
	}
	slices.SortFunc(all, func(a, b SubscriptionInfo) int {
		if a.SubKey < b.SubKey {
			return -1
		}
		return 1
	})
	return all
}
