package input

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redpanda-data/benthos/v4/public/service"
)

// batch is what the pipeline is given at once.
type batch struct {
	delivery

	settle func() // says, once, that the pipeline is done with it
	// waits and due say when it is given again, after it was rejected.
	waits *backoff.ExponentialBackOff
	due   time.Time
}

// give gives a batch to the engine, not for the first time perhaps.
func (in *input) give(b *batch) (service.MessageBatch, service.AckFunc, error) {
	messages := in.messagesOf(b)
	var responses *service.SyncResponseStore
	if b.respond != nil {
		messages, responses = messages.WithSyncResponseStore()
	}
	var once sync.Once
	return messages, func(ctx context.Context, rejected error) error {
		once.Do(func() {
			if rejected != nil && in.replays {
				b.messages = b.rejected(rejected)
				if len(b.messages) > 0 {
					in.replay.add(b)
					return
				}
			}
			if rejected == nil && b.respond != nil {
				b.respond(ctx, responses)
			}
			b.settle()
		})
		return nil
	}, nil
}

// messagesOf makes the messages of a batch, anew each time, for the pipeline may change
// them. It is used by the goroutine that reads alone.
func (in *input) messagesOf(b *batch) service.MessageBatch {
	out := make(service.MessageBatch, len(b.messages))
	for i, m := range b.messages {
		out[i] = newMessage(m.Message, in.metadata, in.values)
		if m.replayed && in.metadata != nil {
			out[i].MetaSetMut(metaReplayed, true)
		}
	}
	return out
}

// rejected returns the messages that are to be given again after an error: all but those
// that it says were taken, by their ids in the metadata. What the engine says cannot
// always be believed (docs/adr/0011-the-input-replays-by-itself.md).
func (b *batch) rejected(reason error) []incoming {
	var some *service.BatchError
	if !errors.As(reason, &some) || some.IndexedErrors() == 0 {
		return b.messages
	}
	failed := map[string]bool{}
	var taken, believed bool
	some.WalkMessages(func(_ int, m *service.Message, err error) bool { //nolint:staticcheck // the index is not used
		id, _ := m.MetaGet(metaMsgID)
		failed[id] = failed[id] || err != nil
		taken = taken || err == nil
		believed = believed || (taken && err != nil)
		return true
	})
	if !believed || failed[""] {
		return b.messages // for it may be any of them that failed
	}
	return slices.DeleteFunc(slices.Clone(b.messages), func(m incoming) bool {
		failed, known := failed[m.MsgID]
		return m.MsgID != "" && known && !failed
	})
}
