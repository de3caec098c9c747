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
	notify chan struct{}

	// mu guards rejected. Nothing waits under it.
	mu       sync.Mutex
	rejected []*batch // the first of them is due first
}

func newRetries() *retries { return &retries{notify: make(chan struct{}, 1)} }

// About how long a batch that keeps being rejected waits. The first time it does not.
const (
	firstWait = 10 * time.Millisecond
	maxWait   = time.Second
)

// add takes a batch that was rejected.
func (r *retries) add(b *batch) {
	b.retryAt = time.Now()
	if b.backoff == nil {
		b.backoff = backoff.NewExponentialBackOff(backoff.WithInitialInterval(firstWait),
			backoff.WithMaxInterval(maxWait), backoff.WithMaxElapsedTime(0))
	} else {
		b.retryAt = b.retryAt.Add(b.backoff.NextBackOff())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected = append(r.rejected, b)
	slices.SortStableFunc(r.rejected, func(a, b *batch) int { return a.retryAt.Compare(b.retryAt) })
	notify(r.notify)
}

// nextRetry tells when the first batch is due, nil where there is none.
func (r *retries) nextRetry() <-chan time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rejected) == 0 {
		return nil
	}
	return time.After(time.Until(r.rejected[0].retryAt))
}

// pop takes the first batch out. One goroutine does that, and there is one.
func (r *retries) pop() *batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.rejected[0]
	r.rejected = slices.Delete(r.rejected, 0, 1)
	return b
}
