package input_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/internal/testkit/race"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

// The budget covers everything between the socket and the output: this package, wsx and the engine. With
// auto_replay_nacks it is the same, because no message is copied before it is rejected.
func TestLargeFramesNeedFewAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	const frames, size = 40, 500
	all := fullFrames(2*frames, size)
	for _, extra := range []string{"auto_replay_nacks: false", "auto_replay_nacks: true"} {
		server := startServer(t)
		s := streamtest.Start(t, strings.Replace(receiver(server, patched, extra), "collect: {}", "drop: {}", 1))
		subscribed(t, server)
		var mallocs [2]runtime.MemStats
		for i := range mallocs { // the first half fills the window of known ids
			for _, f := range all[i*frames : (i+1)*frames] {
				server.SendRaw(f)
			}
			s.AwaitMetricValue(`output_sent{label="",path="root.output"}`, float64((i+1)*frames*size))
			runtime.ReadMemStats(&mallocs[i])
		}
		each := float64(mallocs[1].Mallocs-mallocs[0].Mallocs) / (frames * size)
		t.Logf("%s: %.1f allocations a message", extra, each)
		assert.LessOrEqual(t, each, 12.0, extra)
		s.Stop(streamtest.Timeout)
	}
}
