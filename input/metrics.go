package input

import (
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// metrics are the metrics of a zato_wsx input. docs/metrics.md describes them.
type metrics struct {
	received, duplicates             *service.MetricCounter
	subscriptionDown                 *service.MetricGauge
	backlogAge, unacked, journalSize *service.MetricGauge
	commitLatency                    *service.MetricTimer
	standsBy                         *service.MetricGauge
}

func newMetrics(m *service.Metrics) *metrics {
	return &metrics{
		received:         m.NewCounter("zato_wsx_messages_received", "topic"),
		duplicates:       m.NewCounter("zato_wsx_duplicates_dropped", "topic"),
		subscriptionDown: m.NewGauge("zato_wsx_subscription_down_seconds", "topic"),
		backlogAge:       m.NewGauge("zato_wsx_backlog_age_seconds"),
		unacked:          m.NewGauge("zato_wsx_unacked_messages"),
		journalSize:      m.NewGauge("zato_wsx_journal_bytes"),
		commitLatency:    m.NewTimer("zato_wsx_journal_commit_latency_ns"),
		standsBy:         m.NewGauge("zato_wsx_stands_by", "topic"),
	}
}

// metricsInterval is how often the gauges are set.
const metricsInterval = time.Second

// sampleMetrics sets the gauges until the input is closed.
func (in *input) sampleMetrics() {
	ticker := time.NewTicker(metricsInterval)
	defer ticker.Stop()
	for {
		in.sample()
		select {
		case <-ticker.C:
		case <-in.ctx.Done():
			return
		}
	}
}

// sample sets the gauges.
func (in *input) sample() {
	unacked := in.inFlight.messages()
	if in.journal != nil {
		backlog := in.journal.Backlog()
		unacked = backlog.Messages
		in.metrics.journalSize.Set(backlog.Size)
	}
	now := time.Now()
	in.metrics.unacked.Set(int64(unacked + in.fetchedInFlight.messages()))
	in.metrics.backlogAge.SetFloat64(max(in.inFlight.age(now), in.fetchedInFlight.age(now)).Seconds())
	for _, s := range in.subscribers {
		in.metrics.subscriptionDown.SetFloat64(s.downFor(now).Seconds(), s.sub.Topic)
		var standsBy int64
		if s.standsBy.Load() {
			standsBy = 1
		}
		in.metrics.standsBy.Set(standsBy, s.sub.Topic)
	}
}
