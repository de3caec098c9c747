package wsxtest

import "slices"

// topic is a topic with its subscriptions. The broker's mu guards it.
type topic struct {
	Topic

	subs  []*subscription
	named []*namedSubscription
	// backlog holds messages for the first subscriber.
	backlog []*message
}

// maxBacklog is the maximum number of messages in a topic without subscribers.
const maxBacklog = 1_000_000

// drops reports whether the topic drops what is published now.
func (t *topic) drops() bool {
	return t.DropWithoutSubscribers && !t.hasSubscribers()
}

// isFullInMemory reports whether a topic drops messages in memory.
func (t *topic) isFullInMemory() bool {
	if t.MaxDepthNonGD == 0 {
		return false
	}
	waiting := 0
	for _, sub := range t.subs {
		for _, it := range sub.items {
			if !it.msg.guaranteed && it.owner != nil {
				waiting++
			}
		}
	}
	return waiting >= t.MaxDepthNonGD
}

// hasSubscribers reports whether messages are queued for anybody.
func (t *topic) hasSubscribers() bool {
	return len(t.subs) > 0 || len(t.named) > 0
}

// publish queues a message for every subscriber, or in the topic if there is none.
func (t *topic) publish(m *message) {
	if m.guaranteed || !t.isFullInMemory() {
		for _, sub := range t.subs {
			sub.add(m, m.published)
		}
	}
	for _, sub := range t.named {
		sub.add(m) // in the database, guaranteed or not: no connection gets it pushed
	}
	if !t.hasSubscribers() && len(t.backlog) < maxBacklog {
		t.backlog = append(t.backlog, m)
	}
}

// storesInMemory reports whether messages in memory are in the database, because a
// subscriber is not connected, or there is none.
func (t *topic) storesInMemory() bool {
	return len(t.named) > 0 || !t.hasSubscribers() ||
		slices.ContainsFunc(t.subs, func(sub *subscription) bool { return sub.attachedTo == nil })
}

// hasConnectedSubscriber reports whether a connection gets the topic's messages pushed.
func (t *topic) hasConnectedSubscriber() bool {
	return slices.ContainsFunc(t.subs, func(sub *subscription) bool { return sub.attachedTo != nil })
}
