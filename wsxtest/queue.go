package wsxtest

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// topic is a topic with what was published before anybody subscribed.
type topic struct {
	Topic

	backlog []*message
}

// message is one published message.
type message struct {
	id, topic           string
	data                json.RawMessage
	seq                 uint64
	published           time.Time
	priority            int
	expiration          time.Duration
	correlID, inReplyTo string
	guaranteed          bool
}

// due is a message on its way to one subscriber.
type due struct {
	*message

	received   time.Time // by the subscription
	waited     bool      // nobody held the subscription then
	deliveries int
}

// subscription is one subscriber of a topic. All of it is guarded by the mutex
// of the server.
type subscription struct {
	key, topic string
	durable    bool

	// holder is the connection that receives, nil while nobody does. Messages go
	// to left until switchAt: Zato is slow to notice (durable).
	holder, left *Session
	switchAt     time.Time

	// waiting is kept while nobody receives. assigned lies with a connection,
	// where what is in memory dies with it.
	waiting  []due
	assigned map[*Session][]due
	// stale are guaranteed messages that the server forgot to cross off; they
	// are pushed once more at the end (backlog-gd).
	stale []due
	lost  int
}

func newSubscription(key, topic string) *subscription {
	return &subscription{key: key, topic: topic, assigned: map[*Session][]due{}}
}

// accept queues a message where Zato would at this moment.
func (sub *subscription) accept(m *message) {
	now := time.Now()
	d := due{message: m, received: now}
	to := sub.holder
	if now.Before(sub.switchAt) && sub.left != nil {
		to = sub.left
	}
	switch {
	case to == nil:
		d.waited = true
		sub.waiting = append(sub.waiting, d)
	case to.life.Err() == nil:
		sub.assigned[to] = append(sub.assigned[to], d)
	case m.guaranteed:
		sub.waiting = append(sub.waiting, d)
	default:
		sub.lost++ // given in memory to a connection that is gone
	}
}

// hold makes a connection the receiver, from a while after now on.
func (sub *subscription) hold(by *Session, handover time.Duration) {
	now := time.Now()
	if sub.holder != by {
		if now.After(sub.switchAt) {
			sub.left = sub.holder
		}
		if sub.holder != nil {
			sub.switchAt = now.Add(handover)
		}
	}
	sub.holder = by
}

// lose is told of a connection that has ended. Guaranteed messages that it had
// not delivered wait for the next; others are lost.
func (sub *subscription) lose(session *Session) {
	for _, d := range sub.assigned[session] {
		if d.guaranteed {
			sub.waiting = append(sub.waiting, d)
		} else {
			sub.lost++
		}
	}
	delete(sub.assigned, session)
	if sub.holder == session {
		sub.stale = nil
	}
}

// forgetMemory is what the end of the server's process does.
func (sub *subscription) forgetMemory() {
	kept := sub.waiting[:0]
	for _, d := range sub.waiting {
		if d.guaranteed {
			kept = append(kept, d)
		} else {
			sub.lost++
		}
	}
	sub.waiting = kept
}

// maxFrame is how many messages one frame holds at most.
const maxFrame = 500

// take removes what is due to a connection now, at most a frame of it, in the
// order of delivery: the highest priority first, then the oldest.
func (sub *subscription) take(session *Session) []due {
	if sub.holder == session {
		sub.assigned[session] = append(sub.assigned[session], sub.waiting...)
		sub.waiting = nil
	}
	now := time.Now()
	all := slices.DeleteFunc(sub.assigned[session], func(d due) bool {
		return now.After(d.published.Add(d.expiration))
	})
	slices.SortStableFunc(all, func(a, b due) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.seq, b.seq))
	})
	n := min(len(all), maxFrame)
	frame := slices.Clone(all[:n])
	if len(all) == n {
		delete(sub.assigned, session)
	} else {
		sub.assigned[session] = slices.Clone(all[n:])
	}
	return frame
}

// putBack returns what could not be written.
func (sub *subscription) putBack(session *Session, frame []due) {
	sub.assigned[session] = append(frame, sub.assigned[session]...)
}

// crossOff forgets what was delivered, but for every second guaranteed message
// of a list, as if the server took items out of the list that it walks through
// (backlog-gd).
func (sub *subscription) crossOff(frame []due) {
	if len(frame) < 2 {
		return
	}
	for i := 1; i < len(frame); i += 2 {
		if frame[i].guaranteed {
			sub.stale = append(sub.stale, frame[i])
		}
	}
}
