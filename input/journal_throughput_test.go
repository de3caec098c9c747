package input_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/internal/testkit/race"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// fullFrames returns frames with size messages of 1 KiB each, in the layout of the server. All ids are different.
func fullFrames(frames, size int) [][]byte {
	out := make([][]byte, frames)
	for i := range out {
		var messages []string
		for j := range size {
			messages = append(messages, fmt.Sprintf(`
        {
            "data": %q,
            "delivery_count": 1,
            "expiration": 86400,
            "expiration_time_iso": "2026-01-02T10:11:12.123456",
            "ext_client_id": "zato.pubsub.pubapi.topic-service",
            "ext_pub_time_iso": "",
            "group_id": "",
            "in_reply_to": "",
            "mime_type": "application\/json",
            "position_in_group": 1,
            "priority": 5,
            "pub_time_iso": "2026-01-01T10:11:12.123456",
            "recv_time_iso": "2026-01-01T10:11:12.234567",
            "size": 1024,
            "sub_key": "zpsk.wsx.client.0a1b2c",
            "topic_name": "\/my\/topic.gd",
            "msg_id": "zpsm%024x",
            "correl_id": "0123456789abcdef01234567"
        }`, strings.Repeat("x", 1024), i*size+j))
		}
		out[i] = fmt.Appendf(nil, `{
    "meta": {
        "id": "%024x",
        "timestamp": "2026-01-01T10:11:12.234567",
        "msg_type": "zwsx.psrq"
    },
    "data": [%s
    ]
}`, i, strings.Join(messages, ","))
	}
	return out
}

// messagesPerSecond runs a pipeline with extra fields and returns how fast it receives the frames.
func messagesPerSecond(t *testing.T, server *wsxtest.Server, frames [][]byte, size int, fields ...string) float64 {
	t.Helper()
	yaml := strings.Replace(receiver(server, patched, fields...), "collect: {}", "drop: {}", 1)
	s := streamtest.Start(t, yaml)
	subscribed(t, server)
	messages := float64(len(frames) * size)
	start := time.Now()
	for _, f := range frames {
		server.SendRaw(f)
	}
	s.AwaitMetricValue(`output_sent{label="",path="root.output"}`, messages)
	elapsed := time.Since(start)
	s.Stop(streamtest.Timeout)
	return messages / elapsed.Seconds()
}

func TestJournalKeepsHalfOfTheThroughput(t *testing.T) {
	server := startServer(t)
	for _, c := range []struct{ frames, size int }{{4000, 1}, {400, 50}, {60, 500}} {
		rounds := 7
		if race.Enabled {
			c.frames, rounds = c.frames/10, 1
		}
		frames := fullFrames(c.frames, c.size)
		var ratios []float64
		for range rounds {
			without := messagesPerSecond(t, server, frames, c.size)
			with := messagesPerSecond(t, server, frames, c.size, journalField(t.TempDir()))
			ratios = append(ratios, with/without)
			t.Logf("frames of %d: %.0f messages/s without a journal, %.0f with it: %.2f", c.size, without, with, with/without)
		}
		slices.Sort(ratios)
		t.Logf("frames of %d: %.2f of the throughput", c.size, ratios[len(ratios)/2])
		if c.size >= 50 && !race.Enabled {
			// As in the benchmarks, a goal is missed if the better quartile misses it: other load
			// and a busy disk slow down the journal, and nothing makes it faster than it is.
			assert.GreaterOrEqual(t, ratios[len(ratios)*3/4], 0.5, "%.2f", ratios)
		}
	}
}
