package chaos_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// sink is the output of the pipeline. It can be slow and reject batches. It outlives
// the pipelines that write to it.
type sink struct {
	// mu guards the fields below. Nothing blocks while holding it.
	mu       sync.Mutex
	accepted map[string]int // the position at which a message was first accepted
	// partial has the accepted messages of partially rejected batches. A journal keeps
	// the whole batch until the rest is accepted, so all its messages may be replayed
	// after a restart.
	partial map[string]bool
	// unreleased has the messages that were accepted when a pipeline ended without
	// confirming them. They may come again.
	unreleased map[string]bool
	duplicates duplicateCounts
	delay      time.Duration
	rejections int
	// faultSince is the time of the first fault since the last accepted batch, zero if
	// there was none.
	faultSince time.Time
	// maxRecovery is the longest time from a fault to the next accepted batch.
	maxRecovery time.Duration
}

// duplicateCounts has the numbers of duplicates within the deduplication window, after
// it, and of those that a pipeline could not confirm.
type duplicateCounts struct{ early, late, unreleased int }

// dedupWindow is the number of messages after which a duplicate is tolerated: the
// message ids that the input remembers, less one frame on its way.
const dedupWindow = 10_000 - 500

var errRejected = errors.New("rejected by the sink")

func newSink() *sink {
	return &sink{accepted: map[string]int{}, partial: map[string]bool{}, unreleased: map[string]bool{}}
}

func (*sink) Connect(context.Context) error { return nil }

func (*sink) Close(context.Context) error { return nil }

// WriteBatch accepts a batch, or rejects all or some of its messages.
func (s *sink) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	s.mu.Lock()
	delay := s.delay
	s.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var rejection error
	if s.rejections > 0 {
		s.rejections--
		if s.rejections%2 == 0 || len(batch) == 1 {
			return errRejected
		}
		batch, rejection = rejectPart(batch)
	}
	for _, m := range batch {
		id, _ := m.MetaGet("zato_msg_id")
		_, replayed := m.MetaGet("zato_replayed")
		position := len(s.accepted) + 1
		first, known := s.accepted[id]
		switch {
		case !known:
			s.accepted[id] = position
			s.partial[id] = rejection != nil
		case replayed && s.partial[id]:
		case s.unreleased[id]:
			delete(s.unreleased, id) // once
			s.duplicates.unreleased++
		case position-first > dedupWindow:
			s.duplicates.late++
		default:
			s.duplicates.early++
		}
	}
	if !s.faultSince.IsZero() {
		s.maxRecovery = max(s.maxRecovery, time.Since(s.faultSince))
		s.faultSince = time.Time{}
	}
	return rejection
}

// rejectPart rejects every second message of a batch and accepts the others.
func rejectPart(batch service.MessageBatch) (accepted service.MessageBatch, err error) {
	rejection := service.NewBatchError(batch, errRejected)
	for i, m := range batch {
		if i%2 == 1 {
			rejection = rejection.Failed(i, errRejected)
		} else {
			accepted = append(accepted, m)
		}
	}
	return accepted, rejection
}

// endUnreleased notes that a pipeline ended without confirming all accepted messages.
func (s *sink) endUnreleased() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.accepted {
		s.unreleased[id] = true
	}
}

// configure sets the delay of each write and the number of batches to reject.
func (s *sink) configure(delay time.Duration, rejections int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay, s.rejections = delay, rejections
}

// markFault records the time of a fault.
func (s *sink) markFault() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faultSince.IsZero() {
		s.faultSince = time.Now()
	}
}

func (s *sink) hasAccepted(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted[id] > 0
}

func (s *sink) duplicateCounts() duplicateCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.duplicates
}

// longestRecovery returns the longest time from a fault to the next accepted batch.
func (s *sink) longestRecovery() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maxRecovery
}
