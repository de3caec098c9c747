package chaos_test

import (
	"flag"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// Flags of the soak test, which make soak sets.
var (
	soakMessages = flag.Int("soak.messages", 0, "number of messages to publish")
	soakFor      = flag.Duration("soak.for", 20*time.Minute, "time in which to publish the messages")
	soakSeed     = flag.Uint64("soak.seed", 1, "seed that decides the faults")
	soakGateway  = flag.String("soak.gateway", "connect", "gateway of the server: stock, patched or connect")
)

func TestSoakNeitherLosesNorDuplicatesMessages(t *testing.T) {
	if *soakMessages == 0 {
		t.Skip("takes long: run make soak")
	}
	gateway := map[string]wsxtest.Gateway{
		"stock": wsxtest.Stock, "patched": wsxtest.Patched, "connect": wsxtest.Connect,
	}[*soakGateway]
	e := newEnv(t, gateway, *soakSeed, func(e *env) {
		e.journaled, e.guaranteed, e.dropsSubscriptions = true, true, false
	})
	var publishing sync.WaitGroup
	publishing.Go(func() { e.publishSteadily(*soakMessages, *soakFor) })
	done := make(chan struct{})
	go func() {
		publishing.Wait()
		close(done)
	}()
	for ended := false; !ended; {
		e.inject()
		e.randomPause(2 * time.Second)
		e.reset()
		e.randomPause(time.Second)
		select {
		case <-done:
			ended = true
		default:
		}
	}
	e.reset()
	e.awaitSettled()
	var all totals
	c := e.count()
	all.add(e, c)
	t.Logf("seed %d: %s", *soakSeed, &all)
	assert.Zero(t, c.lost, "lost")
	assert.Zero(t, c.duplicates, "duplicates")
}

// publishSteadily publishes n messages at a constant rate.
func (e *env) publishSteadily(n int, within time.Duration) {
	random := rand.New(rand.NewPCG(*soakSeed, 1)) // faults use another one
	began, published := time.Now(), 0
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for published < n {
		<-tick.C
		due := min(n, int(float64(n)*float64(time.Since(began))/float64(within)))
		e.publishFrom(random, due-published)
		published = max(published, due)
	}
}
