package input_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/internal/testkit/race"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

// The budgets are for all that happens between the socket and the output, in this
// package, in wsx and in the engine. Rejected messages are made anew, so that none is
// copied in case it is rejected.
func TestListsPassWithFewAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	const frames, size = 40, 500
	lists := fullFrames(2*frames, size)
	for _, more := range []string{"auto_replay_nacks: false", "auto_replay_nacks: true"} {
		server := startServer(t)
		s := streamtest.Start(t, strings.Replace(receiver(server, patched, more), "collect: {}", "drop: {}", 1))
		subscribed(t, server)
		var mallocs [2]runtime.MemStats
		for i := range mallocs { // the first time, ids begin to be remembered
			for _, f := range lists[i*frames : (i+1)*frames] {
				server.SendRaw(f)
			}
			s.Metric(`output_sent{label="",path="root.output"}`, float64((i+1)*frames*size))
			runtime.ReadMemStats(&mallocs[i])
		}
		each := float64(mallocs[1].Mallocs-mallocs[0].Mallocs) / (frames * size)
		t.Logf("%s: %.1f allocations a message", more, each)
		assert.LessOrEqual(t, each, 12.0, more)
		s.Stop(streamtest.Limit)
	}
}
