package output

import (
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// maxReportedTopics bounds the topics that a component remembers, because a topic can be
// interpolated.
const maxReportedTopics = 100

// dropped reports messages that Zato accepted and dropped. Its methods may be called by
// several goroutines at once.
type dropped struct {
	log   *service.Logger
	count *service.MetricCounter

	mu       sync.Mutex // guards reported
	reported map[string]bool
}

func newDropped(res *service.Resources) *dropped {
	count := res.Metrics().NewCounter("zato_wsx_messages_dropped_without_subscriber")
	count.Incr(0) // otherwise, the series would begin with the first message, and a rate would miss it
	return &dropped{log: res.Logger(), count: count, reported: map[string]bool{}}
}

// report counts a dropped message and logs a warning if it is the first one of its topic.
func (d *dropped) report(topic string) {
	d.count.Incr(1)
	if d.isFirst(topic) {
		d.log.With("topic", topic).Warn("Zato drops messages of this topic, because it has no subscriber: subscribe to it, " +
			"or set on_no_subs_pub to accept in Zato")
	}
}

// isFirst reports whether it is called with a topic for the first time.
func (d *dropped) isFirst(topic string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reported[topic] || len(d.reported) == maxReportedTopics {
		return false
	}
	d.reported[topic] = true
	return true
}
