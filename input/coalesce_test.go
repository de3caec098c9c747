package input_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

// batchSizes sends 30 frames of one message each while the pipeline is blocked. It returns the sizes of the batches
// that the pipeline then receives.
func batchSizes(t *testing.T, extra ...string) []int {
	t.Helper()
	const frames = 30
	server := startServer(t)
	s := streamtest.Start(t, receiver(server, patched, append(extra, "prefetch_count: 30")...))
	subscribed(t, server)
	for _, f := range fullFrames(frames, 1) {
		server.SendRaw(f)
	}
	// The answers to the login and the subscription are frames, too.
	s.AwaitMetric(`zato_wsx_frames{direction="in",label="",path="root.input",role="subscription"}`,
		func(n float64) bool { return n >= frames+2 })
	var sizes []int
	for total := 0; total < frames; {
		batch := s.Next()
		for i, m := range batch {
			id, _ := m.MetaGet("zato_msg_id")
			assert.Equal(t, fmt.Sprintf("zpsm%024x", total+i), id)
		}
		total += len(batch)
		sizes = append(sizes, len(batch))
	}
	return sizes
}

func TestWaitingFramesBecomeFewBatches(t *testing.T) {
	assert.Less(t, len(batchSizes(t)), 15)
	assert.Less(t, len(batchSizes(t, journalField(t.TempDir()))), 15)
}

func TestFramesThatGetAResponseAreNotCoalesced(t *testing.T) {
	assert.Len(t, batchSizes(t, "respond_to_messages: true"), 30)
	assert.Len(t, batchSizes(t, "respond_to_messages: true", journalField(t.TempDir())), 30)
}
