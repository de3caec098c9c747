package output

import (
	"context"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// fullTopics lets one list of a full topic at a time look for room. If all did, some would find
// none for long, and the server would be busy with them. Its methods may be called by several
// goroutines at once.
type fullTopics struct {
	log    *service.Logger
	warned topicSet

	mu     sync.Mutex       // guards topics and what they hold, but not the channels
	topics map[string]*turn // those that somebody waits for
}

// turn is whose turn it is to look for room in a topic.
type turn struct {
	taken   chan struct{} // has an element while somebody has the turn
	users   int           // those who have the turn, or wait for it
	hadRoom time.Time     // when the topic last had room
}

func newFullTopics(log *service.Logger) *fullTopics {
	return &fullTopics{log: log, topics: map[string]*turn{}}
}

// report logs a warning if it is the first one of the topic: a busy topic is full and has room
// several times a second.
func (f *fullTopics) report(topic string) {
	if f.warned.add(topic) {
		f.log.With("topic", topic).Warn("Zato has as many messages of this topic in memory as it may have, so the output " +
			"waits until the topic has room, each time: raise max_depth_non_gd of the topic, or publish with has_gd: true")
	}
}

// await waits for the caller's turn, which it must end. It returns nil if ctx ends, or if the
// topic had no room for anybody within the timeout.
func (f *fullTopics) await(ctx context.Context, topic string, timeout time.Duration) (end func()) {
	t := f.enter(topic)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		select {
		case t.taken <- struct{}{}:
			return func() {
				<-t.taken
				f.leave(topic)
			}
		case <-timer.C:
			if left := time.Until(f.lastRoom(t).Add(timeout)); left > 0 {
				timer.Reset(left)
				continue
			}
		case <-ctx.Done():
		}
		f.leave(topic)
		return nil
	}
}

func (f *fullTopics) enter(topic string) *turn {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[topic]
	if t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		f.topics[topic] = t
	}
	t.users++
	return t
}

func (f *fullTopics) leave(topic string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[topic]
	if t.users--; t.users == 0 {
		delete(f.topics, topic)
	}
}

func (f *fullTopics) lastRoom(t *turn) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return t.hadRoom
}

// foundRoom lets those go on waiting who wait for the topic.
func (f *fullTopics) foundRoom(topic string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.topics[topic]; t != nil {
		t.hadRoom = time.Now()
	}
}
