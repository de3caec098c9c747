package chaos_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// totals sums up several runs.
type totals struct {
	// mu guards the fields below. Nothing blocks while holding it.
	mu sync.Mutex
	counts
	faults      map[string]int
	standBys    int // a pipeline took itself for another consumer
	maxRecovery time.Duration
}

func (t *totals) add(e *env, c counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.published += c.published
	t.lost += c.lost
	t.duplicates += c.duplicates
	t.lateDuplicates += c.lateDuplicates
	t.unreleased += c.unreleased
	t.standBys += strings.Count(e.log.String(), "Another consumer has the subscription")
	t.lostInNetwork += c.lostInNetwork
	t.lostAtServer += c.lostAtServer
	if t.faults == nil {
		t.faults = map[string]int{}
	}
	for name, n := range e.injected {
		t.faults[name] += n
	}
	t.maxRecovery = max(t.maxRecovery, e.sink.longestRecovery())
}

// String returns a table of the totals.
func (t *totals) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out strings.Builder
	faults := 0
	for _, name := range slices.Sorted(maps.Keys(t.faults)) {
		fmt.Fprintf(&out, "\n  %-28s %6d", name, t.faults[name])
		faults += t.faults[name]
	}
	return fmt.Sprintf(`%d messages, %d faults, %d lost, %d duplicates, longest recovery %v
duplicates outside of the deduplication window: %d, of messages that a pipeline could not confirm at its end: %d
stand-bys without another consumer: %d
never reached the pipeline's socket: %d lost in the network, %d at the server (in memory, or with a subscription)
faults by kind:%s`, t.published, faults, t.lost, t.duplicates, t.maxRecovery,
		t.lateDuplicates, t.unreleased, t.standBys, t.lostInNetwork, t.lostAtServer, &out)
}
