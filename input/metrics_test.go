package input_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

func TestMetricsShowWhatThePipelineHasNotAcknowledged(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	const of = `label="",path="root.input"`
	for name, yaml := range map[string]string{
		"memory": receiver(server, patched), "journal": withCacheAndJournal(server, dir),
	} {
		t.Run(name, func(t *testing.T) {
			s := streamtest.Start(t, yaml)
			subscribed(t, server)
			publishAsFrames(t, server, "a", "b", "c")
			s.AwaitMetricValue(`zato_wsx_messages_received{`+of+`,topic="/my/topic.gd"}`, 3)
			s.AwaitMetricValue(`zato_wsx_unacked_messages{`+of+`}`, 3)
			s.AwaitMetric(`zato_wsx_backlog_age_seconds{`+of+`}`, func(age float64) bool { return age > 1.5 && age < 20 })
			if name == "journal" {
				s.AwaitMetric(`zato_wsx_journal_bytes{`+of+`}`, func(size float64) bool { return size > 1000 })
			}
			assert.Equal(t, []string{"a", "b", "c"}, s.NextTexts(3))
			s.AwaitMetricValue(`zato_wsx_unacked_messages{`+of+`}`, 0)
			s.AwaitMetricValue(`zato_wsx_backlog_age_seconds{`+of+`}`, 0)
			if name == "journal" {
				s.AwaitMetricValue(`zato_wsx_journal_bytes{`+of+`}`, 0)
			}
		})
	}
}

// downSeries is the series of a topic that tells for how long it has not been received.
func downSeries(topic string) string {
	return `zato_wsx_subscription_down_seconds{label="",path="root.input",topic="` + topic + `"}`
}

func TestMetricShowsForHowLongATopicWasNotReceived(t *testing.T) {
	down := func(seconds float64) bool { return seconds > 0 }
	server := startLimitedServer(t)
	server.Stop()
	s := streamtest.Start(t, withoutRetries(receiverOf(server, limited, topic, forbidden)))
	for _, topic := range []string{topic, forbidden} {
		s.AwaitMetric(downSeries(topic), down)
		s.AwaitMetricValue(`zato_wsx_messages_received{label="",path="root.input",topic="`+topic+`"}`, 0)
	}
	require.NoError(t, server.Restart())
	s.AwaitMetricValue(downSeries(topic), 0)
	s.AwaitMetric(downSeries(forbidden), down)
	server.Stop()
	s.AwaitMetric(downSeries(topic), down)
	s.Stop(streamtest.Timeout)
	s.AwaitMetricValue(downSeries(topic), 0)
	s.AwaitMetricValue(downSeries(forbidden), 0)
}

func TestMetricShowsThatATopicIsNotReceivedWithoutItsJournal(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, withCacheAndJournal(server, filepath.Join(t.TempDir(), "missing")))
	s.AwaitMetric(downSeries(topic), func(seconds float64) bool { return seconds > 1 })
}
