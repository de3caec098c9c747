package input

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redpanda-data/benthos/v4/public/service"
)

// batch is what the pipeline is given at once.
type batch struct {
	acceptedFrame

	settle func() // says, once, that the pipeline is done with it
	// backoff and due say when it is given again, after it was rejected.
	backoff *backoff.ExponentialBackOff
	retryAt time.Time
}

// emit gives a batch to the engine, not for the first time perhaps.
func (in *input) emit(b *batch) (service.MessageBatch, service.AckFunc, error) {
	messages := in.buildMessages(b)
	var responses *service.SyncResponseStore
	if b.respond != nil {
		messages, responses = messages.WithSyncResponseStore()
	}
	var once sync.Once
	return messages, func(ctx context.Context, rejected error) error {
		once.Do(func() {
			if rejected != nil && in.retry {
				for _, again := range b.retryParts(rejected) {
					in.retries.add(again)
				}
				return
			}
			if rejected == nil && b.respond != nil {
				b.respond(ctx, responses)
			}
			b.settle()
		})
		return nil
	}, nil
}

// buildMessages makes the messages of a batch, anew each time, for the pipeline may change
// them. It is used by the goroutine that reads alone.
func (in *input) buildMessages(b *batch) service.MessageBatch {
	out := make(service.MessageBatch, len(b.messages))
	for i, m := range b.messages {
		out[i] = newMessage(m.Message, in.metadata, in.values)
		if m.replayed && in.metadata != nil {
			out[i].MetaSetMut(metaReplayed, true)
		}
	}
	return out
}

// retryParts returns what is to be given again after an error: all messages but those that
// it says were taken, which are told by their ids. Where that cannot be believed
// (docs/adr/0011-the-input-retries-rejected-messages.md), all come again, in halves, so that
// those that keep failing are soon alone.
func (b *batch) retryParts(reason error) []*batch {
	var some *service.BatchError
	if !errors.As(reason, &some) || some.IndexedErrors() == 0 {
		return []*batch{b}
	}
	failed := map[string]bool{}
	// Whether one was taken, and one failed behind such a one.
	var taken, behind bool
	some.WalkMessages(func(_ int, m *service.Message, err error) bool { //nolint:staticcheck // the index is not used
		id, _ := m.MetaGet(metaMsgID)
		failed[id] = failed[id] || err != nil
		taken = taken || err == nil
		behind = behind || (taken && err != nil)
		return true
	})
	switch {
	case !taken:
		return []*batch{b}
	case !behind || !b.containsAll(failed):
		return b.split()
	}
	b.messages = slices.DeleteFunc(b.messages, func(m message) bool {
		failed, known := failed[m.MsgID]
		return known && !failed
	})
	return []*batch{b}
}

// containsAll tells whether all that failed are messages of the batch.
func (b *batch) containsAll(failed map[string]bool) bool {
	own := map[string]bool{}
	for _, m := range b.messages {
		own[m.MsgID] = m.MsgID != ""
	}
	for id, failed := range failed {
		if failed && !own[id] {
			return false
		}
	}
	return true
}

// split makes two batches of one, which is settled when both are.
func (b *batch) split() []*batch {
	middle := len(b.messages) / 2
	if middle == 0 {
		return []*batch{b}
	}
	var left atomic.Int32
	left.Store(2)
	settle := func() {
		if left.Add(-1) == 0 {
			b.settle()
		}
	}
	var out []*batch
	for _, messages := range [][]message{b.messages[:middle], b.messages[middle:]} {
		out = append(out, &batch{acceptedFrame: acceptedFrame{messages: messages}, settle: settle})
	}
	return out
}
