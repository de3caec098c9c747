package input

import (
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// replay has the batches that the pipeline rejected, which it is given again before
// anything new. There are no more of them than the pipeline had in hand.
//
// The engine has the like, which makes three copies of every message in case it is
// rejected. Here those that are rejected are made anew.
type replay struct {
	told chan struct{}

	// mu guards rejected. Nothing waits under it.
	mu       sync.Mutex
	rejected []*batch
}

func newReplay() *replay { return &replay{told: make(chan struct{}, 1)} }

// How long a message that keeps being rejected waits. The first time it does not.
const (
	firstWait = 10 * time.Millisecond
	maxWait   = time.Second
)

// add takes a batch that was rejected.
func (r *replay) add(b *batch) {
	b.due = time.Now()
	if b.waits == nil {
		b.waits = backoff.NewExponentialBackOff(backoff.WithInitialInterval(firstWait),
			backoff.WithMaxInterval(maxWait), backoff.WithMaxElapsedTime(0))
	} else {
		b.due = b.due.Add(b.waits.NextBackOff())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected = append(r.rejected, b)
	signal(r.told)
}

// first returns the batch that was rejected first, nil where there is none.
func (r *replay) first() *batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rejected) == 0 {
		return nil
	}
	return r.rejected[0]
}

// drop takes the first batch out.
func (r *replay) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected = r.rejected[1:]
}
