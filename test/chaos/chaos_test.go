package chaos_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestChaosNeitherLosesNorDuplicatesMessages(t *testing.T) {
	t.Parallel()
	for _, runs := range []struct {
		name    string
		gateway wsxtest.Gateway
		n       uint64
	}{
		{"stock", wsxtest.Stock, 60}, {"patched", wsxtest.Patched, 120}, {"connect", wsxtest.Connect, 120},
	} {
		t.Run(runs.name, func(t *testing.T) {
			t.Parallel()
			runChaos(t, runs.gateway, runs.n)
		})
	}
}

// runChaos runs n pipelines. The seed of a run decides its settings and faults.
func runChaos(t *testing.T, gateway wsxtest.Gateway, runs uint64) {
	t.Helper()
	var all totals
	t.Cleanup(func() {
		t.Logf("%d runs: %s", runs, &all)
		// These losses are no defect of the pipeline, but many of them could hide one.
		assert.Less(t, all.lostInNetwork, all.published/5, "lost in the network")
	})
	for seed := range runs {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, gateway, seed, func(*env) {})
			for range 8 {
				e.publish(e.rand.IntN(40))
				e.randomPause(50 * time.Millisecond)
				e.inject()
			}
			e.reset()
			e.awaitSettled()
			c := e.count()
			all.add(e, c)
			assert.Zero(t, c.lost, "lost")
			assert.Zero(t, c.duplicates, "duplicates")
		})
	}
}

// counts has the numbers of messages by their fate.
type counts struct {
	published, lost, duplicates int
	// lateDuplicates are duplicates outside of the deduplication window.
	lateDuplicates int
	// unreleased are duplicates of messages that a pipeline could not confirm when it
	// ended, because it had no connection.
	unreleased int
	// lostInNetwork were written by the server but never reached the socket of the
	// pipeline. lostAtServer were never written by the server.
	lostInNetwork, lostAtServer int
}

// count compares the messages of the server with those that the sink has accepted. The
// pipeline has lost a message if the message reached its socket but not the sink.
func (e *env) count() counts {
	duplicates := e.sink.duplicateCounts()
	c := counts{duplicates: duplicates.early, lateDuplicates: duplicates.late, unreleased: duplicates.unreleased}
	written := e.writtenIDs()
	for _, m := range e.Published() {
		c.published++
		switch {
		case e.sink.hasAccepted(m.ID):
		case e.tap.Delivered(m.ID) && e.keepsRead():
			c.lost++
			e.t.Logf("message %s reached the pipeline's socket but not the sink", m.ID)
		case written[m.ID] && !e.fetches():
			c.lostInNetwork++
		case e.keepsMessages():
			c.lost++
			e.t.Logf("the server keeps message %s but the pipeline never got it", m.ID)
		default:
			c.lostAtServer++
		}
	}
	return c
}

// writtenIDs returns the ids of the messages that the server has written to a socket.
func (e *env) writtenIDs() map[string]bool {
	ids := map[string]bool{}
	for _, m := range e.Delivered() {
		ids[m.ID] = true
	}
	return ids
}

// markers is the number of messages that awaitSettled sends through the pipeline.
const markers = 10

// awaitSettled waits until no message is on its way to the sink. Then it publishes
// markers, one after the other, and waits until the sink has accepted each of them. The
// server sends a marker after all messages of earlier rounds of delivery, including
// duplicates, so these have arrived too.
//
// The first marker also wakes a connection that a fault has broken unnoticed.
func (e *env) awaitSettled() {
	deadline := time.Now().Add(2 * streamtest.Timeout)
	for range markers {
		if reason := e.awaitMarker(deadline); reason != "" {
			assert.Fail(e.t, "messages are still on their way", reason)
			return
		}
	}
}

// markerInterval is how long awaitMarker waits for a marker before it publishes another
// one.
const markerInterval = time.Second

// awaitMarker publishes a marker, and waits until the sink has accepted it and nothing is
// on its way. Messages in memory may be lost while the pipeline reconnects, so it then
// publishes another one. It returns what is missing at the deadline, or "".
func (e *env) awaitMarker(deadline time.Time) (missing string) {
	var published []string
	var next time.Time // when the next marker is due
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for now := range poll.C {
		missing = e.unsettledReason()
		if missing == "" {
			if slices.ContainsFunc(published, e.sink.hasAccepted) {
				return ""
			}
			missing = fmt.Sprintf("none of the markers %q has arrived", published)
		}
		if now.After(deadline) {
			break
		}
		if now.After(next) {
			published, next = append(published, e.publishMarker()), now.Add(markerInterval)
		}
	}
	return missing
}

// unsettledReason returns why messages may still arrive at the sink, or "".
func (e *env) unsettledReason() string {
	if !e.subscribed() {
		return "no connection has a subscription"
	}
	for _, sub := range e.Subscriptions() {
		if sub.Depth+sub.Unconfirmed > 0 && (sub.Attached || e.keepsMessages()) {
			return fmt.Sprintf("the server has queued messages: %+v", sub)
		}
	}
	written := e.writtenIDs()
	for _, m := range e.Published() {
		switch {
		case e.keepsMessages() && !written[m.ID]:
			return "the server is writing message " + m.ID
		case !e.sink.hasAccepted(m.ID) && e.keepsRead() && (e.tap.Delivered(m.ID) || e.tap.Pending(m.ID)):
			return "message " + m.ID + " has not arrived at the sink"
		}
	}
	return ""
}
