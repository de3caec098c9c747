package wsxtest

import "slices"

// stall keeps back guaranteed messages that Zato does not find. It fetches those of all
// subscriptions to one topic that a connection has at once. If there are several, it
// fails if the connection got guaranteed messages before, but none of these
// subscriptions did. Such messages wait until their subscription is resumed
// (transcripts server-stopped and server-killed). The caller holds mu.
func (b *broker) stall(c *session) {
	byTopic := map[string][]*subscription{}
	for _, sub := range b.attached[c] {
		if sub.attachedTo == c {
			byTopic[sub.topic] = append(byTopic[sub.topic], sub)
		}
	}
	// In which order Zato looks at topics differs. Here, those with one subscription
	// come first.
	for _, several := range []bool{false, true} {
		for _, subs := range byTopic {
			if len(subs) > 1 == several {
				c.stallTopic(subs)
			}
		}
	}
}

// stallTopic does this for the subscriptions to one topic.
func (c *session) stallTopic(subs []*subscription) {
	fetched := func(sub *subscription) bool { return slices.Contains(c.fetched, sub) }
	fails := len(subs) > 1 && len(c.fetched) > 0 && !slices.ContainsFunc(subs, fetched)
	for _, sub := range subs {
		for _, it := range sub.items {
			if it.owner != c || it.backlog || !it.msg.guaranteed {
				continue
			}
			it.stalled = fails
			if !fails && !fetched(sub) {
				c.fetched = append(c.fetched, sub)
			}
		}
	}
}
