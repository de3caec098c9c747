package input

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redpanda-data/benthos/v4/public/service"
)

// batch is a batch of messages for the pipeline. A message is settled when the pipeline has acknowledged it, or has
// rejected it and the input does not retry. Until then, the input keeps it.
type batch struct {
	acceptedFrame

	// settle is called with the messages that are settled, each message once.
	settle func(messages []message, as outcome)
	// backoff and retryAt are for a rejected batch, which is emitted again at retryAt.
	backoff *backoff.ExponentialBackOff
	retryAt time.Time
}

// outcome says how a message was settled.
type outcome int

const (
	acknowledged outcome = iota
	rejected             // and the input does not retry
)

// emit returns the messages of a batch and the function that the engine calls with their outcome, as ReadBatch does.
// It can be called again if the batch is rejected.
func (in *input) emit(b *batch) (service.MessageBatch, service.AckFunc, error) {
	messages := in.buildMessages(b)
	var responses *service.SyncResponseStore
	if b.respond != nil {
		messages, responses = messages.WithSyncResponseStore()
	}
	var once sync.Once
	return messages, func(ctx context.Context, err error) error {
		once.Do(func() {
			if err == nil {
				if b.respond != nil {
					b.respond(ctx, responses)
				}
				b.settle(b.messages, acknowledged)
				return
			}
			for _, part := range b.retryParts(err) {
				if in.retry {
					in.retries.add(part)
				} else {
					b.settle(part.messages, rejected)
				}
			}
		})
		return nil
	}, nil
}

// buildMessages builds the engine's messages of a batch. It builds new ones each time, because the pipeline may change
// them. Only ReadBatch may call it.
func (in *input) buildMessages(b *batch) service.MessageBatch {
	out := make(service.MessageBatch, len(b.messages))
	for i, m := range b.messages {
		out[i] = newMessage(m.Message, in.metadata, in.lastValues)
		if m.replayed && in.metadata != nil {
			out[i].MetaSetMut(metaReplayed, true)
		}
		if in.metadata != nil && m.Expired() {
			out[i].MetaSetMut(metaExpired, true)
		}
	}
	return out
}

// retryParts returns the batches to emit again after the pipeline has rejected b for a reason.
//
//   - If the reason says which messages failed, it returns b without the messages that were delivered, and settles
//     these. It identifies messages by their ids.
//   - If that report cannot be trusted (docs/adr/0011-the-input-retries-rejected-messages.md), it returns all messages
//     in two halves. A message that keeps failing is then soon alone.
//   - Otherwise all messages failed, and it returns b.
func (b *batch) retryParts(reason error) []*batch {
	var report *service.BatchError
	if !errors.As(reason, &report) || report.IndexedErrors() == 0 {
		return []*batch{b}
	}
	failedByID := map[string]bool{}
	// delivered is true if any message was delivered, and failedLater if a message after that one failed.
	var delivered, failedLater bool
	report.WalkMessages(func(_ int, m *service.Message, err error) bool { //nolint:staticcheck // the index is not used
		id, _ := m.MetaGet(metaMsgID)
		failedByID[id] = failedByID[id] || err != nil
		delivered = delivered || err == nil
		failedLater = failedLater || (delivered && err != nil)
		return true
	})
	switch {
	case !delivered:
		return []*batch{b}
	case !failedLater || !b.containsAllFailed(failedByID):
		return b.halve()
	}
	var done, failed []message
	for _, m := range b.messages {
		if hasFailed, reported := failedByID[m.MsgID]; reported && !hasFailed {
			done = append(done, m)
		} else {
			failed = append(failed, m)
		}
	}
	b.settle(done, acknowledged)
	b.messages = failed
	return []*batch{b}
}

// containsAllFailed reports whether each message that failed has an id, and the batch has a message with that id.
func (b *batch) containsAllFailed(failedByID map[string]bool) bool {
	ownIDs := map[string]bool{}
	for _, m := range b.messages {
		ownIDs[m.MsgID] = m.MsgID != ""
	}
	for id, failed := range failedByID {
		if failed && !ownIDs[id] {
			return false
		}
	}
	return true
}

// halve returns two batches with half of the messages each, or b if it has only one message.
func (b *batch) halve() []*batch {
	middle := len(b.messages) / 2
	if middle == 0 {
		return []*batch{b}
	}
	var halves []*batch
	for _, messages := range [][]message{b.messages[:middle], b.messages[middle:]} {
		halves = append(halves, &batch{acceptedFrame: acceptedFrame{messages: messages}, settle: b.settle})
	}
	return halves
}
