package input

import (
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// retries has the batches that the pipeline rejected, which it is given again before
// anything new. There are no more messages in them than the pipeline had in hand.
//
// The engine has the like, which makes three copies of every message in case it is
// rejected. Here those that are rejected are made anew.
type retries struct {
	told chan struct{}

	// mu guards rejected. Nothing waits under it.
	mu       sync.Mutex
	rejected []*batch // the first of them is due first
}

func newRetries() *retries { return &retries{told: make(chan struct{}, 1)} }

// About how long a batch that keeps being rejected waits. The first time it does not.
const (
	firstWait = 10 * time.Millisecond
	maxWait   = time.Second
)

// add takes a batch that was rejected.
func (r *retries) add(b *batch) {
	b.due = time.Now()
	if b.waits == nil {
		b.waits = backoff.NewExponentialBackOff(backoff.WithInitialInterval(firstWait),
			backoff.WithMaxInterval(maxWait), backoff.WithMaxElapsedTime(0))
	} else {
		b.due = b.due.Add(b.waits.NextBackOff())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.IndexFunc(r.rejected, func(other *batch) bool { return other.due.After(b.due) })
	if at < 0 {
		at = len(r.rejected)
	}
	r.rejected = slices.Insert(r.rejected, at, b)
	signal(r.told)
}

// first returns the batch that is due first, nil where there is none.
func (r *retries) first() *batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rejected) == 0 {
		return nil
	}
	return r.rejected[0]
}

// take takes a batch out, if it is the one that is due first.
func (r *retries) take(b *batch) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rejected[0] != b {
		return false // another has come in front of it
	}
	r.rejected = slices.Delete(r.rejected, 0, 1)
	return true
}
