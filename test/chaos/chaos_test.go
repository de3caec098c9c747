package chaos_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

// runs is how many worlds are broken, each in a way that its seed decides.
const runs = 200

func TestChaosLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	var all totals
	t.Cleanup(func() {
		t.Logf("%d runs: %s", runs, &all)
		// Not the pipeline's fault; if it is much, it may hide one.
		assert.Less(t, all.inNetwork, all.published/5, "lost in the network")
	})
	for seed := range uint64(runs) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed, func(*world) {})
			for range 8 {
				w.publish(w.rand.IntN(40))
				w.pause(50 * time.Millisecond)
				w.strike()
			}
			w.heal()
			w.publish(1) // which wakes a link that a fault has left half way
			w.settle()
			a := w.account()
			all.add(w, a)
			assert.Zero(t, a.lost, "lost")
			assert.Zero(t, a.repeated, "repeated")
		})
	}
}

// account is what became of all messages.
type account struct {
	published, lost, repeated int
	// forgotten came again when more messages had come meanwhile than are remembered.
	forgotten int
	// inNetwork were written by the server and never reached the socket of the
	// pipeline; atServer never left the server, and were lost there.
	inNetwork, atServer int
}

// account compares what the server says with what has arrived. What has not arrived
// is lost by the pipeline, unless its socket never had it.
func (w *world) account() account {
	again := w.sink.repeats()
	a := account{repeated: again.soon, forgotten: again.late}
	written := w.written()
	for _, m := range w.Published() {
		a.published++
		switch {
		case w.sink.has(m.ID):
		case w.tap.Delivered(m.ID):
			a.lost++
			w.t.Logf("message %s was handed over and has not arrived", m.ID)
		case written[m.ID]:
			a.inNetwork++
		case w.guaranteed && !w.forgetful:
			a.lost++
			w.t.Logf("message %s is guaranteed and was never written", m.ID)
		default:
			a.atServer++
		}
	}
	return a
}

// written are the messages that the server has written to a socket, by its own account.
func (w *world) written() map[string]bool {
	ids := map[string]bool{}
	for _, m := range w.Delivered() {
		ids[m.ID] = true
	}
	return ids
}

// settle waits until nothing is on its way any more.
func (w *world) settle() {
	waits := func() string {
		if !w.subscribed() {
			return "nobody has a subscription"
		}
		for _, sub := range w.Subscriptions() {
			if sub.Depth > 0 && (sub.Attached || !w.forgetful) {
				return fmt.Sprintf("the server has messages in a queue: %+v", sub)
			}
		}
		written := w.written()
		for _, m := range w.Published() {
			switch {
			case w.guaranteed && !w.forgetful && !written[m.ID]:
				return "message " + m.ID + " is being written"
			case !w.sink.has(m.ID) && (w.tap.Delivered(m.ID) || w.tap.Pending(m.ID)):
				return "message " + m.ID + " is on its way"
			}
		}
		return ""
	}
	deadline := time.Now().Add(2 * streamtest.Limit)
	for quiet := 0; quiet < 20; quiet++ {
		if reason := waits(); reason != "" {
			quiet = 0
			if time.Now().After(deadline) {
				assert.Fail(w.t, "it does not settle", reason)
				return
			}
		}
		<-time.After(5 * time.Millisecond)
	}
}
