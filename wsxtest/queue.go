package wsxtest

import (
	"slices"
	"sync/atomic"
	"time"
)

// subscription is a subscription and its queue. The broker's mu guards it.
type subscription struct {
	key, topic string
	endpoint   string // the channel's path; other channels cannot resume it
	clientID   string
	durable    bool
	// restarted is set if the server has been restarted since the subscription was
	// made. A server does not remember which subscriptions are durable.
	restarted bool
	// registeredAt is when the server knows the connection of a new subscription. It
	// does not deliver what is published before.
	registeredAt time.Time

	// attachedTo is the connection that messages are sent to, nil if there is none or
	// the server has forgotten it.
	attachedTo *session
	// previous is the connection that the subscription was attached to before, nil
	// once it has ended. Until previousUntil, messages are still sent to it.
	previous      *session
	previousUntil time.Time
	// lostUntil is the time until which messages in memory are lost, because the
	// server still sends them to a connection that has ended.
	lostUntil time.Time

	// lastPublished is when a message was last published to the topic.
	lastPublished time.Time

	items []*item
	// stored is how many messages were stored, those that were delivered included.
	stored int
	// reliable is set if the server does better than Zato.
	reliable bool
	// lists has what each connection gets next.
	lists map[*session]*deliveryList
}

// item is a message in one queue.
type item struct {
	msg *message
	// owner is the connection that the item will be written to.
	owner *session
	// backlog is set if the item was queued while the subscription was attached to
	// no connection. Such messages lack some fields (transcript backlog-gd).
	backlog bool
	// sending is set while the item is being written.
	sending bool
	// stalled is set while the server does not find the message.
	stalled bool
	// expiredDue is when an expired message is pushed nevertheless, zero for others.
	expiredDue time.Time
	deliveries atomic.Int32
	received   time.Time // when the delivery task first dequeued it
}

// add queues a message, or drops it.
func (s *subscription) add(m *message, now time.Time) {
	s.lastPublished = m.published
	owner := s.attachedTo
	registered := !now.Before(s.registeredAt)
	if registered && owner != nil {
		s.adopt(owner) // transcript first-message-gd-late
	}
	switch {
	case !registered && !m.guaranteed:
		return // transcript first-message-ram-lost
	case !registered:
		owner = nil
	case s.previous != nil && now.Before(s.previousUntil):
		owner = s.previous // transcript durable, "both"
	case owner == nil && !m.guaranteed && now.Before(s.lostUntil):
		return // transcript durable, "away"
	}
	s.items = append(s.items, &item{msg: m, owner: owner, backlog: owner == nil})
	if m.guaranteed || owner == nil {
		s.stored++
	}
}

// inMemory reports whether the message is not in the database.
func (it *item) inMemory() bool { return !it.msg.guaranteed && it.owner != nil }

// giveBack returns what a connection has not got yet to the front of the queue.
func (s *subscription) giveBack(c *session) {
	if list := s.lists[c]; list != nil {
		s.items = append(list.undelivered(), s.items...)
		delete(s.lists, c)
	}
}

// list returns what a connection gets next.
func (s *subscription) list(c *session) *deliveryList {
	if s.lists == nil {
		s.lists = map[*session]*deliveryList{}
	}
	if s.lists[c] == nil {
		s.lists[c] = &deliveryList{reliable: s.reliable}
	}
	return s.lists[c]
}

// depth returns how many messages wait.
func (s *subscription) depth() int {
	n := len(s.items)
	for _, list := range s.lists {
		n += len(list.undelivered())
	}
	return n
}

// adopt makes c the owner of the messages that have none.
func (s *subscription) adopt(c *session) {
	for _, it := range s.items {
		if it.owner == nil {
			it.owner = c
		}
	}
}

// attach attaches the subscription to c. It moves to c the queued messages without
// an owner and the guaranteed messages that were queued for the previous
// connection.
func (s *subscription) attach(c *session, takeoverDelay time.Duration) {
	s.adopt(c)
	for _, it := range s.items {
		it.backlog, it.stalled = it.backlog || it.stalled, false
	}
	s.registeredAt = time.Time{}
	if s.attachedTo == c {
		return
	}
	s.giveBack(s.attachedTo)
	s.previous, s.previousUntil = s.attachedTo, time.Now().Add(takeoverDelay)
	s.attachedTo, s.lostUntil = c, time.Time{}
	for _, it := range s.items {
		if it.owner == s.previous && it.msg.guaranteed {
			it.owner = c
		}
	}
}

// detach removes a connection that has ended. Messages in memory that were queued
// for it are lost.
func (s *subscription) detach(c *session, takeoverDelay time.Duration) {
	s.giveBack(c)
	if s.attachedTo == c {
		s.attachedTo, s.lostUntil = nil, time.Now().Add(takeoverDelay)
	}
	if s.previous == c {
		s.previous = nil
	}
	s.items = slices.DeleteFunc(s.items, func(it *item) bool { return it.owner == c && !it.msg.guaranteed })
	for _, it := range s.items {
		if it.owner == c {
			it.owner, it.backlog, it.stalled = s.attachedTo, true, false
		}
	}
}

// forget makes the server forget the connection of the subscription, because the one
// that it was taken over from has ended. What is published waits until the
// subscription is resumed again (transcripts deaf-after-takeover and
// deaf-after-missed-pings).
func (s *subscription) forget() {
	s.attachedTo = nil
	for _, it := range s.items {
		it.owner, it.backlog, it.stalled = nil, true, false
	}
}

// dequeue returns the messages of the next frame for c, nil if there are none. They
// stay in their list until they have been written. It drops expired messages.
func (s *subscription) dequeue(c *session, now time.Time) []*item {
	list := s.list(c)
	if now.Before(list.retryAt) {
		return nil
	}
	var due []*item
	s.items = slices.DeleteFunc(s.items, func(it *item) bool {
		switch {
		case now.After(it.msg.expires()) && it.expiredDue.IsZero():
			return !s.keepsExpired(it, now)
		case now.Before(it.expiredDue), it.stalled:
			return false
		case it.owner == c:
			due = append(due, it)
		}
		return it.owner == c
	})
	list.addAll(due)
	next := list.next(now)
	for _, it := range next {
		it.sending = true
		if it.received.IsZero() {
			it.received = now
		}
	}
	return next
}

// written removes the messages that were written to c. Those that Zato does not find
// come again later.
func (s *subscription) written(c *session, items []*item) {
	for _, it := range items {
		it.deliveries.Add(1)
		it.sending = false
	}
	list := s.lists[c]
	if list == nil {
		return // the connection has ended, or another one has the subscription
	}
	list.retryAt = time.Time{}
	for _, it := range items {
		if !list.remove(it) {
			list.retryAt = time.Now().Add(retryDelay)
		}
	}
}

// expiredDelay is how much later than the others an expired message is pushed.
const expiredDelay = 400 * time.Millisecond

// keepsExpired reports whether a message that has expired is pushed nevertheless. For
// messages that waited for a connection, the server compares with the time of the
// topic's last publication, not with the current time (transcripts expired-while-away
// and expired-while-away-later-publication).
func (s *subscription) keepsExpired(it *item, now time.Time) bool {
	if !it.backlog || s.lastPublished.After(it.msg.expires()) {
		return false
	}
	it.expiredDue = now.Add(expiredDelay)
	return true
}

// requeue queues the guaranteed messages among items that could not be written to
// c. The others are lost.
func (s *subscription) requeue(items []*item, c *session) {
	var guaranteed []*item
	list := s.list(c)
	for _, it := range items {
		it.sending = false
		if at := slices.Index(list.items, it); at >= 0 {
			list.drop(at)
		}
		if !it.msg.guaranteed || it.deliveries.Load() > 0 {
			continue
		}
		it.owner = s.attachedTo
		if s.attachedTo == c { // c has failed and is about to be detached
			it.owner = nil
		}
		it.backlog = it.backlog || it.owner == nil
		guaranteed = append(guaranteed, it)
	}
	s.items = append(guaranteed, s.items...)
}
