package wsxtest

import (
	"slices"
	"time"
)

// topic is a topic with its subscriptions. The broker's mu guards it.
type topic struct {
	Topic

	subs  []*subscription
	named []*namedSubscription
	// backlog holds messages for the first subscriber.
	backlog []*message
	// overflow is how many messages in memory were lost because the topic was full. Zato
	// counts them until the topic is cleared or the server is restarted.
	overflow int
}

// maxBacklog is the maximum number of messages in a topic without subscribers.
const maxBacklog = 1_000_000

// drops reports whether the topic drops what is published now.
func (t *topic) drops() bool {
	return t.DropWithoutSubscribers && !t.hasSubscribers()
}

// depthInMemory returns how many messages in memory the topic has. One that waits for
// several connections counts once.
func (t *topic) depthInMemory() int {
	waiting := map[*message]bool{}
	for _, sub := range t.subs {
		for _, it := range sub.items {
			if it.inMemory() {
				waiting[it.msg] = true
			}
		}
	}
	return t.overflow + len(waiting)
}

// isFullInMemory reports whether a topic drops messages in memory.
func (t *topic) isFullInMemory() bool {
	return t.MaxDepthNonGD > 0 && t.depthInMemory() >= t.MaxDepthNonGD
}

// hasSubscribers reports whether messages are queued for anybody.
func (t *topic) hasSubscribers() bool {
	return len(t.subs) > 0 || len(t.named) > 0
}

// publish queues a message for every subscriber, or in the topic if there is none. A
// message in memory becomes a guaranteed one if somebody cannot get it now (transcripts
// server-stopped and server-killed).
func (t *topic) publish(m *message) {
	if !m.guaranteed && t.storesInMemory(m.published) {
		stored := *m // the recorder says what the publisher wanted
		stored.guaranteed = true
		m = &stored
	}
	if !m.guaranteed && t.isFullInMemory() {
		t.overflow++
		return
	}
	for _, sub := range t.subs {
		sub.add(m, m.published)
	}
	for _, sub := range t.named {
		sub.add(m)
	}
	if !t.hasSubscribers() && len(t.backlog) < maxBacklog {
		t.backlog = append(t.backlog, m)
	}
}

// storesInMemory reports whether messages in memory are in the database, because a
// subscriber is not connected, or there is none.
func (t *topic) storesInMemory(now time.Time) bool {
	return len(t.named) > 0 || !t.hasSubscribers() ||
		slices.ContainsFunc(t.subs, func(sub *subscription) bool {
			return sub.attachedTo == nil && !now.Before(sub.lostUntil)
		})
}

// hasConnectedSubscriber reports whether a connection gets the topic's messages pushed.
func (t *topic) hasConnectedSubscriber() bool {
	return slices.ContainsFunc(t.subs, func(sub *subscription) bool { return sub.attachedTo != nil })
}
