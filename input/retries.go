package input

import (
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// retries holds the batches that the pipeline rejected. ReadBatch emits them again before any new batch. Their number
// is bounded by how many batches the pipeline takes at once.
//
// The engine has a wrapper that does the same, but it copies every message three times before it is known whether
// the message is rejected. Here only the messages that were rejected are built a second time.
type retries struct {
	added chan struct{} // gets a signal when a batch is added

	// mu guards rejected. Nothing blocks while it is held.
	mu       sync.Mutex
	rejected []*batch // by retryAt, the earliest first
}

func newRetries() *retries { return &retries{added: make(chan struct{}, 1)} }

// A batch is retried at once the first time. If it keeps being rejected, it waits about this long.
const (
	firstRetryWait = 10 * time.Millisecond
	maxRetryWait   = time.Second
)

// add adds a batch that was rejected.
func (r *retries) add(b *batch) {
	b.retryAt = time.Now()
	if b.backoff == nil {
		b.backoff = backoff.NewExponentialBackOff(backoff.WithInitialInterval(firstRetryWait),
			backoff.WithMaxInterval(maxRetryWait), backoff.WithMaxElapsedTime(0))
	} else {
		b.retryAt = b.retryAt.Add(b.backoff.NextBackOff())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected = append(r.rejected, b)
	slices.SortStableFunc(r.rejected, func(a, b *batch) int { return a.retryAt.Compare(b.retryAt) })
	notify(r.added)
}

// nextRetry returns a channel that fires when the first batch is due. It returns nil if there is no batch.
func (r *retries) nextRetry() <-chan time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rejected) == 0 {
		return nil
	}
	return time.After(time.Until(r.rejected[0].retryAt))
}

// pop removes and returns the first batch. There must be one, and only one goroutine may call it.
func (r *retries) pop() *batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.rejected[0]
	r.rejected = slices.Delete(r.rejected, 0, 1)
	return b
}
