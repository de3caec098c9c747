package wsxtest

import (
	"cmp"
	"slices"
	"time"
)

// retryDelay is how long Zato waits after it failed to remove delivered messages from its
// list. Then it delivers these again, and what was published meanwhile.
const retryDelay = 3 * time.Second

// deliveryList has the messages that a connection gets for one subscription, in the
// order of delivery. It makes the same mistakes as Zato's sorted list: the order of two
// messages is by priority or by time, which contradict each other if the priorities
// differ. So the order depends on the order in which messages are added, and some
// messages that were delivered are not found and not removed (transcript backlog-gd).
type deliveryList struct {
	// reliable is set if every message is found.
	reliable bool
	items    []*item
	// last is the item that the list takes for its last one.
	last *item
	// retryAt is when the list is delivered next, zero if at once.
	retryAt time.Time
}

// before reports whether Zato puts a message before another one.
func (it *item) before(other *item) bool {
	a, b := it.msg, other.msg
	switch {
	case a.priority > b.priority:
		return true
	case !a.extPubTime.IsZero() && !b.extPubTime.IsZero():
		return a.extPubTime.Before(b.extPubTime)
	}
	return a.published.Before(b.published)
}

// addAll adds messages in the order in which Zato does: those that waited for the
// connection and those in memory by time, then the other ones by priority.
func (l *deliveryList) addAll(due []*item) {
	var fetched []*item
	for _, it := range due {
		if it.msg.guaranteed && !it.backlog {
			fetched = append(fetched, it)
		} else {
			l.add(it)
		}
	}
	slices.SortStableFunc(fetched, func(a, b *item) int {
		return cmp.Or(
			cmp.Compare(b.msg.priority, a.msg.priority),
			a.msg.extPubTime.Compare(b.msg.extPubTime), a.msg.published.Compare(b.msg.published),
		)
	})
	for _, it := range fetched {
		l.add(it)
	}
}

func (l *deliveryList) add(it *item) {
	if len(l.items) == 0 || !it.before(l.last) {
		l.items, l.last = append(l.items, it), it
		return
	}
	low, high := 0, len(l.items)
	for low < high {
		if middle := (low + high) / 2; it.before(l.items[middle]) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	l.items = slices.Insert(l.items, low, it)
}

// remove removes a message that was delivered. It returns false if Zato does not find
// it.
func (l *deliveryList) remove(it *item) bool {
	at := slices.Index(l.items, it)
	if at < 0 {
		return true // the list is a new one
	}
	if !l.reliable && l.last.before(it) {
		return false
	}
	l.drop(at)
	return true
}

func (l *deliveryList) drop(at int) {
	l.items = slices.Delete(l.items, at, at+1)
	if len(l.items) > 0 {
		l.last = l.items[len(l.items)-1]
	}
}

// next returns the messages of the next frame.
func (l *deliveryList) next(now time.Time) []*item {
	if now.Before(l.retryAt) {
		return nil
	}
	return slices.Clone(l.items[:min(len(l.items), maxBatch)])
}

// undelivered returns the messages that were not delivered and are not being sent.
func (l *deliveryList) undelivered() []*item {
	var left []*item
	for _, it := range l.items {
		if it.deliveries.Load() == 0 && !it.sending {
			left = append(left, it)
		}
	}
	return left
}
