package input

import (
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// metrics are those of an input. They are described in docs/metrics.md.
type metrics struct {
	received, duplicates             *service.MetricCounter
	backlogAge, unacked, journalSize *service.MetricGauge
	commitLatency                    *service.MetricTimer
}

func newMetrics(of *service.Metrics) *metrics {
	return &metrics{
		received:      of.NewCounter("zato_wsx_messages_received", "topic"),
		duplicates:    of.NewCounter("zato_wsx_duplicates_dropped", "topic"),
		backlogAge:    of.NewGauge("zato_wsx_backlog_age_seconds"),
		unacked:       of.NewGauge("zato_wsx_unacked_messages"),
		journalSize:   of.NewGauge("zato_wsx_journal_bytes"),
		commitLatency: of.NewTimer("zato_wsx_journal_commit_latency_ns"),
	}
}

// metricsInterval is how often the gauges are set.
const metricsInterval = time.Second

// sampleMetrics sets the gauges until the input is closed.
func (in *input) sampleMetrics() {
	tick := time.NewTicker(metricsInterval)
	defer tick.Stop()
	for {
		in.sample()
		select {
		case <-tick.C:
		case <-in.ctx.Done():
			return
		}
	}
}

// sample sets the gauges.
func (in *input) sample() {
	unacked := in.inFlight.count.Load()
	if in.journal != nil {
		kept := in.journal.Backlog()
		unacked = int64(kept.Messages)
		in.metrics.journalSize.Set(kept.Size)
	}
	in.metrics.unacked.Set(unacked)
	in.metrics.backlogAge.SetFloat64(in.lost.age(time.Now()).Seconds())
}

// publishedAt is the layout of a time of publication, in UTC.
const publishedAt = "2006-01-02T15:04:05.999999"

// age returns how long ago the oldest of what the engine has and has not settled was
// published, by Zato's clock and this machine's, and zero where there is none.
func (l *loss) age(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var oldest time.Duration
	for _, published := range l.unsettled {
		if at, err := time.Parse(publishedAt, published); err == nil {
			oldest = max(oldest, now.Sub(at))
		}
	}
	return oldest
}
