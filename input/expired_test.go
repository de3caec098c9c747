package input_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

// expire makes the messages of a frame of fullFrames expire before the server took them from their queue.
func expire(frame []byte) []byte {
	return bytes.ReplaceAll(frame, []byte("2026-01-02T10:11:12.123456"), []byte("2026-01-01T10:11:12"))
}

// expiredSeries is the counter of expired messages.
const expiredSeries = `zato_wsx_messages_expired{label="",path="root.input",topic="/my/topic.gd"}`

func TestExpiredMessagesAreDroppedAndCounted(t *testing.T) {
	for _, journal := range []string{"metadata: default", journalField(t.TempDir())} {
		server := startServer(t)
		s := streamtest.Start(t, receiver(server, patched, journal))
		subscribed(t, server)
		frames := fullFrames(3, 2)
		server.SendRaw(frames[0], expire(frames[1]), frames[2])
		assert.Len(t, s.NextTexts(4), 4)
		s.AwaitMetricValue(expiredSeries, 2)
		s.AwaitMetricValue(`zato_wsx_messages_received{label="",path="root.input",topic="/my/topic.gd"}`, 4)
		s.AwaitMetricValue(`zato_wsx_unacked_messages{label="",path="root.input"}`, 0)
	}
}

func TestExpiredMessagesAreMarkedIfTheyAreNotDropped(t *testing.T) {
	for _, metadataField := range []string{"metadata: default", "metadata: none"} {
		server := startServer(t)
		s := streamtest.Start(t, receiver(server, patched, "drop_expired: false", metadataField))
		subscribed(t, server)
		frames := fullFrames(2, 1)
		server.SendRaw(expire(frames[0]))
		message := metadata(t, s.Next()[0])
		if metadataField == "metadata: default" {
			assert.Equal(t, true, message["zato_expired"])
		} else {
			assert.Empty(t, message)
		}
		server.SendRaw(frames[1])
		assert.NotContains(t, metadata(t, s.Next()[0]), "zato_expired")
		s.AwaitMetricValue(expiredSeries, 1)
	}
}
