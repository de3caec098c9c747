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

// batch is a batch of messages for the pipeline. It is kept until the pipeline settles it.
type batch struct {
	acceptedFrame

	settle func() // called once, when the pipeline needs the batch no more
	// backoff and retryAt say when a rejected batch is emitted again.
	backoff *backoff.ExponentialBackOff
	retryAt time.Time
}

// emit returns a new or a rejected batch as ReadBatch does.
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
				for _, part := range b.retryParts(rejected) {
					in.retries.add(part)
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

// buildMessages builds the pipeline's messages of a batch. It builds new ones each time, because the pipeline may
// change them. Only ReadBatch may call it.
func (in *input) buildMessages(b *batch) service.MessageBatch {
	out := make(service.MessageBatch, len(b.messages))
	for i, m := range b.messages {
		out[i] = newMessage(m.Message, in.metadata, in.lastValues)
		if m.replayed && in.metadata != nil {
			out[i].MetaSetMut(metaReplayed, true)
		}
	}
	return out
}

// retryParts returns what to emit again after an error: the batch without the messages that the error reports as
// delivered, by their ids. If the error cannot be trusted (docs/adr/0011-the-input-retries-rejected-messages.md), it
// returns all messages in two halves, so that messages that keep failing are soon alone.
func (b *batch) retryParts(reason error) []*batch {
	var partial *service.BatchError
	if !errors.As(reason, &partial) || partial.IndexedErrors() == 0 {
		return []*batch{b}
	}
	failed := map[string]bool{}
	// Whether any message was delivered, and whether one behind it failed.
	var delivered, failedBehind bool
	partial.WalkMessages(func(_ int, m *service.Message, err error) bool { //nolint:staticcheck // the index is not used
		id, _ := m.MetaGet(metaMsgID)
		failed[id] = failed[id] || err != nil
		delivered = delivered || err == nil
		failedBehind = failedBehind || (delivered && err != nil)
		return true
	})
	switch {
	case !delivered:
		return []*batch{b}
	case !failedBehind || !b.containsAll(failed):
		return b.split()
	}
	b.messages = slices.DeleteFunc(b.messages, func(m message) bool {
		failed, known := failed[m.MsgID]
		return known && !failed
	})
	return []*batch{b}
}

// containsAll reports whether every id that failed is the id of a message of the batch.
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

// split returns two batches with half of the messages each. The batch is settled when both are.
func (b *batch) split() []*batch {
	middle := len(b.messages) / 2
	if middle == 0 {
		return []*batch{b}
	}
	var unsettled atomic.Int32
	unsettled.Store(2)
	settle := func() {
		if unsettled.Add(-1) == 0 {
			b.settle()
		}
	}
	var out []*batch
	for _, messages := range [][]message{b.messages[:middle], b.messages[middle:]} {
		out = append(out, &batch{acceptedFrame: acceptedFrame{messages: messages}, settle: settle})
	}
	return out
}
