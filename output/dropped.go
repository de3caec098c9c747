package output

import (
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// dropped reports messages that Zato accepted and dropped. Its methods may be called by
// several goroutines at once.
type dropped struct {
	log    *service.Logger
	count  *service.MetricCounter
	topics topicSet
}

func newDropped(res *service.Resources) *dropped {
	count := res.Metrics().NewCounter("zato_wsx_messages_dropped_without_subscriber")
	count.Incr(0) // otherwise, the series would begin with the first message, and a rate would miss it
	return &dropped{log: res.Logger(), count: count}
}

// report counts a dropped message and logs a warning if it is the first one of its topic.
func (d *dropped) report(topic string) {
	d.count.Incr(1)
	if d.topics.add(topic) {
		d.log.With("topic", topic).Warn("Zato drops messages of this topic, because it has no subscriber: subscribe to it, " +
			"or set on_no_subs_pub to accept in Zato")
	}
}

// topicSet is a set of topics. The zero value is empty.
type topicSet struct {
	mu     sync.Mutex // guards topics
	topics map[string]bool
}

// maxTopics bounds a topicSet, because a topic can be interpolated.
const maxTopics = 100

// add adds a topic. It reports whether the set got it, and had room for it.
func (s *topicSet) add(topic string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics[topic] || len(s.topics) == maxTopics {
		return false
	}
	if s.topics == nil {
		s.topics = map[string]bool{}
	}
	s.topics[topic] = true
	return true
}
