package output

import (
	"context"
	"sync"
	"time"
)

// maxListBytes is about how large a list is at most. A larger one would gain nothing, and hold
// up the other messages of its topic.
const maxListBytes = 8 << 20

// patience is how long a list may take before the next list of its topic no longer waits for it.
const patience = time.Second

// lists gathers the messages of each topic into lists. While a list is on its way, the messages
// that arrive wait and become the next one, so lists grow with the load, and a message that
// comes alone waits for nothing. A list that is full does not wait either.
type lists struct {
	publish func(ctx context.Context, messages []*message, limit int)

	// mu guards topics and its queues. Nothing blocks under it.
	mu     sync.Mutex
	topics map[string]*queue // those with messages
}

// queue has the messages of one topic.
type queue struct {
	topic   string
	waiting []*group
	size    int // number of messages in waiting
	bytes   int
	onWay   int // lists that were not answered within patience do not count
}

// group has messages that are published in their order. They are never in two lists at a time.
type group struct {
	messages  []*message
	bytes     int
	published chan struct{}
}

func newGroup(messages []*message) *group {
	g := &group{messages: messages, published: make(chan struct{})}
	for _, m := range messages {
		g.bytes += wireSize(m)
	}
	return g
}

// wireSize returns about how many bytes a message takes in a list.
func wireSize(m *message) int {
	const rest = 256
	return len(m.Data) + rest
}

func newLists(publish func(ctx context.Context, messages []*message, limit int)) *lists {
	return &lists{publish: publish, topics: map[string]*queue{}}
}

// add publishes messages of one topic, together with others. It returns when that is done. A
// list has up to limit messages. The lists of a topic share the context of one of the callers:
// the engine has only one.
func (l *lists) add(ctx context.Context, topic string, g *group, limit int) {
	l.mu.Lock()
	q := l.topics[topic]
	if q == nil {
		q = &queue{topic: topic}
		l.topics[topic] = q
	}
	q.waiting = append(q.waiting, g)
	q.size += len(g.messages)
	q.bytes += g.bytes
	list := q.next(limit)
	l.mu.Unlock()
	if list != nil {
		if next := l.send(ctx, q, list, limit); next != nil {
			go l.sendAll(ctx, q, next, limit)
		}
	}
	<-g.published
}

// sendAll sends lists until there is none to send.
func (l *lists) sendAll(ctx context.Context, q *queue, list []*group, limit int) {
	for list != nil {
		list = l.send(ctx, q, list, limit)
	}
}

// send publishes a list and returns the next one, or nil.
func (l *lists) send(ctx context.Context, q *queue, list []*group, limit int) []*group {
	late := time.AfterFunc(patience, func() {
		l.sendAll(ctx, q, l.end(q, limit), limit)
	})
	var messages []*message
	for _, g := range list {
		messages = append(messages, g.messages...)
	}
	l.publish(ctx, messages, limit)
	for _, g := range list {
		close(g.published)
	}
	if !late.Stop() {
		return nil // the next one did not wait
	}
	return l.end(q, limit)
}

// end counts the end of a list and returns the next one, or nil.
func (l *lists) end(q *queue, limit int) []*group {
	l.mu.Lock()
	defer l.mu.Unlock()
	q.onWay--
	next := q.next(limit)
	if next == nil && q.onWay == 0 {
		delete(l.topics, q.topic)
	}
	return next
}

// next removes and returns the groups of the next list, or nil if they have to wait. The mutex
// is held.
func (q *queue) next(limit int) []*group {
	full := q.size >= limit || q.bytes >= maxListBytes
	if len(q.waiting) == 0 || q.onWay > 0 && !full {
		return nil
	}
	n, size, bytes := 0, 0, 0
	for _, g := range q.waiting {
		if n > 0 && (size+len(g.messages) > limit || bytes+g.bytes > maxListBytes) {
			break
		}
		n, size, bytes = n+1, size+len(g.messages), bytes+g.bytes
	}
	list := q.waiting[:n:n]
	q.waiting, q.size, q.bytes = q.waiting[n:], q.size-size, q.bytes-bytes
	q.onWay++
	return list
}
