package input_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

// batches sends frames of one message each to a pipeline that takes nothing yet, and
// returns how large the batches are that it takes then.
func batches(t *testing.T, more ...string) []int {
	t.Helper()
	const frames = 30
	server := startServer(t)
	s := streamtest.Start(t, receiver(server, patched, append(more, "prefetch_count: 30")...))
	subscribed(t, server)
	for _, f := range fullFrames(frames, 1) {
		server.SendRaw(f)
	}
	// The client reads them, and what it has not read by the end makes one batch more.
	<-time.After(200 * time.Millisecond)
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

func TestFramesThatWaitAreOneBatch(t *testing.T) {
	assert.Less(t, len(batches(t)), 15)
	assert.Less(t, len(batches(t, journalIn(t.TempDir()))), 15)
}

func TestFramesThatAreRespondedToStayApart(t *testing.T) {
	assert.Len(t, batches(t, "respond_to_messages: true"), 30)
	assert.Len(t, batches(t, "respond_to_messages: true", journalIn(t.TempDir())), 30)
}
