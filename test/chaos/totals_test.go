package chaos_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// totals are what became of the messages of several worlds.
type totals struct {
	// mu guards what follows; nothing waits under it.
	mu sync.Mutex
	account
	faults   map[string]int
	recovery time.Duration
}

func (t *totals) add(w *world, a account) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.published += a.published
	t.lost += a.lost
	t.repeated += a.repeated
	t.forgotten += a.forgotten
	t.inNetwork += a.inNetwork
	t.atServer += a.atServer
	if t.faults == nil {
		t.faults = map[string]int{}
	}
	for name, n := range w.struck {
		t.faults[name] += n
	}
	t.recovery = max(t.recovery, w.sink.longest())
}

// String returns a table.
func (t *totals) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out strings.Builder
	faults := 0
	for _, name := range slices.Sorted(maps.Keys(t.faults)) {
		fmt.Fprintf(&out, "\n  %-28s %6d", name, t.faults[name])
		faults += t.faults[name]
	}
	return fmt.Sprintf(`%d messages, %d faults, lost %d, repeated %d, longest recovery %v
came again when too much had come meanwhile to remember: %d
never reached the pipeline's socket: lost in the network %d, at the server (in memory, or forgotten) %d
faults by kind:%s`, t.published, faults, t.lost, t.repeated, t.recovery, t.forgotten, t.inNetwork, t.atServer, &out)
}
