package chaos_test

import (
	"flag"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// The soak is for make soak. A test binary knows its flags before it runs.
var (
	soakMessages = flag.Int("soak.messages", 0, "how many messages to publish")
	soakFor      = flag.Duration("soak.for", 20*time.Minute, "how long to take for it")
	soakSeed     = flag.Uint64("soak.seed", 1, "what decides about the faults")
)

func TestSoakLosesAndRepeatsNothing(t *testing.T) {
	if *soakMessages == 0 {
		t.Skip("it takes long: make soak")
	}
	w := newWorld(t, *soakSeed, func(w *world) {
		w.journaled, w.guaranteed, w.forgetful = true, true, false
	})
	var publishing sync.WaitGroup
	publishing.Go(func() { w.publishSteadily(*soakMessages, *soakFor) })
	done := make(chan struct{})
	go func() {
		publishing.Wait()
		close(done)
	}()
	for over := false; !over; {
		w.strike()
		w.pause(2 * time.Second)
		w.heal()
		w.pause(time.Second)
		select {
		case <-done:
			over = true
		default:
		}
	}
	w.heal()
	w.settle()
	var all totals
	a := w.account()
	all.add(w, a)
	t.Logf("seed %d: %s", *soakSeed, &all)
	assert.Zero(t, a.lost, "lost")
	assert.Zero(t, a.repeated, "repeated")
}

// publishSteadily publishes n messages in a time.
func (w *world) publishSteadily(n int, within time.Duration) {
	random := rand.New(rand.NewPCG(*soakSeed, 1)) // beside the one that faults are drawn from
	began, published := time.Now(), 0
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for published < n {
		<-tick.C
		due := min(n, int(float64(n)*float64(time.Since(began))/float64(within)))
		w.publishFrom(random, due-published)
		published = max(published, due)
	}
}
