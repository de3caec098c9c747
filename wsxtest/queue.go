package wsxtest

import (
	"slices"
	"time"
)

// subscription is a subscription and its queue. The broker's mu guards it.
type subscription struct {
	key, topic string
	endpoint   string // the channel: another's subscription cannot be resumed
	clientID   string
	durable    bool

	// attachedTo is the connection that messages go to, nil while there is none.
	attachedTo *session
	// previous is who held the subscription before, as long as it is connected.
	// Until previousUntil messages still go there.
	previous      *session
	previousUntil time.Time
	// lostUntil is how long messages in memory are lost, as they still go to a
	// holder that is no more.
	lostUntil time.Time

	items []*item
	// redeliver are delivered guaranteed messages that the server has forgotten
	// to remove from its list. Unsubscribing pushes them again.
	redeliver []*item
}

// item is a message in one queue.
type item struct {
	msg *message
	// owner is the connection that the item will be written to.
	owner *session
	// backlog tells that the item was queued while nobody held the subscription.
	// Such messages come without some fields (transcript backlog-gd).
	backlog    bool
	deliveries int
	received   time.Time // when the delivery task first saw it
}

// add queues a message, or loses it.
func (s *subscription) add(m *message, now time.Time) {
	owner := s.attachedTo
	switch {
	case s.previous != nil && now.Before(s.previousUntil):
		owner = s.previous // transcript durable, "both"
	case owner == nil && !m.guaranteed && now.Before(s.lostUntil):
		return // transcript durable, "away"
	}
	s.items = append(s.items, &item{msg: m, owner: owner, backlog: owner == nil})
}

// attach makes c the holder. What nobody owns becomes its own, and of what the
// former holder has not been sent, what is guaranteed.
func (s *subscription) attach(c *session, takeoverDelay time.Duration) {
	if s.attachedTo == c {
		return
	}
	s.previous, s.previousUntil = s.attachedTo, time.Now().Add(takeoverDelay)
	s.attachedTo, s.lostUntil = c, time.Time{}
	s.redeliver = nil
	for _, it := range s.items {
		if it.owner == nil || (it.owner == s.previous && it.msg.guaranteed) {
			it.owner = c
		}
	}
}

// detach takes a connection away that has ended. In memory messages that were on
// their way to it are lost.
func (s *subscription) detach(c *session, takeoverDelay time.Duration) {
	if s.attachedTo == c {
		s.attachedTo, s.lostUntil = nil, time.Now().Add(takeoverDelay)
		s.redeliver = nil
	}
	if s.previous == c {
		s.previous = nil
	}
	s.items = slices.DeleteFunc(s.items, func(it *item) bool { return it.owner == c && !it.msg.guaranteed })
	for _, it := range s.items {
		if it.owner == c {
			it.owner, it.backlog = s.attachedTo, true
		}
	}
}

// dequeue removes what is due for c, the most urgent first. What has expired is
// removed too.
func (s *subscription) dequeue(c *session, now time.Time) []*item {
	var due []*item
	s.items = slices.DeleteFunc(s.items, func(it *item) bool {
		if now.After(it.msg.expires()) {
			return true
		}
		if it.owner == c {
			due = append(due, it)
		}
		return it.owner == c
	})
	slices.SortStableFunc(due, func(a, b *item) int { return b.msg.priority - a.msg.priority })
	for _, it := range due {
		if it.received.IsZero() {
			it.received = now
		}
	}
	return due
}

// requeue queues what could not be written, if it is guaranteed.
func (s *subscription) requeue(items []*item, c *session) {
	var guaranteed []*item
	for _, it := range items {
		if !it.msg.guaranteed {
			continue
		}
		it.owner = s.attachedTo
		if s.attachedTo == c { // which is about to be told
			it.owner = nil
		}
		it.backlog = it.backlog || it.owner == nil
		guaranteed = append(guaranteed, it)
	}
	s.items = append(guaranteed, s.items...)
}
