package chaos_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// sink is the end of the pipeline, which can be slow, blocked and unwilling. It
// outlives the pipelines that write to it.
type sink struct {
	// mu guards what follows; nothing waits under it.
	mu       sync.Mutex
	accepted map[string]int // in which place a message came
	// apart are those of batches that were refused in part. A journal keeps the whole
	// of such a batch until the rest is accepted, and gives all of it after a stop.
	apart    map[string]bool
	again    repeats
	delay    time.Duration
	refusals int
	// broken is since when the first fault has not been got over, and recovery the
	// longest time that it took.
	broken   time.Time
	recovery time.Duration
}

// repeats are messages that came again: soon, or when so many had come meanwhile that
// the first one is forgotten.
type repeats struct{ soon, late int }

// memory is how many messages of a topic are remembered, but for a frame on its way.
const memory = 10_000 - 500

var errUnwilling = errors.New("not now")

func newSink() *sink { return &sink{accepted: map[string]int{}, apart: map[string]bool{}} }

func (*sink) Connect(context.Context) error { return nil }

func (*sink) Close(context.Context) error { return nil }

// WriteBatch accepts a batch, or refuses it.
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
	var refused error
	if s.refusals > 0 {
		s.refusals--
		if s.refusals%2 == 0 || len(batch) == 1 {
			return errUnwilling
		}
		batch, refused = inPart(batch)
	}
	for _, m := range batch {
		id, _ := m.MetaGet("zato_msg_id")
		_, replayed := m.MetaGet("zato_replayed")
		place := len(s.accepted) + 1
		first, repeated := s.accepted[id]
		switch {
		case !repeated:
			s.accepted[id] = place
			s.apart[id] = refused != nil
		case replayed && s.apart[id]:
		case place-first > memory:
			s.again.late++
		default:
			s.again.soon++
		}
	}
	if !s.broken.IsZero() {
		s.recovery = max(s.recovery, time.Since(s.broken))
		s.broken = time.Time{}
	}
	return refused
}

// inPart refuses every other message of a batch, and not the first.
func inPart(batch service.MessageBatch) (accepted service.MessageBatch, err error) {
	refused := service.NewBatchError(batch, errUnwilling)
	for i, m := range batch {
		if i%2 == 1 {
			refused = refused.Failed(i, errUnwilling)
		} else {
			accepted = append(accepted, m)
		}
	}
	return accepted, refused
}

// change changes how the sink behaves.
func (s *sink) change(delay time.Duration, refusals int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay, s.refusals = delay, refusals
}

// struck notes the time of a fault.
func (s *sink) struck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken.IsZero() {
		s.broken = time.Now()
	}
}

func (s *sink) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted[id] > 0
}

func (s *sink) repeats() repeats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.again
}

// longest is the longest time from a fault to the next message.
func (s *sink) longest() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recovery
}
