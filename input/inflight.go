package input

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// inFlight tracks the batches that the pipeline has and has not settled. Zato will not push them again.
type inFlight struct {
	// mu guards the fields below. Nothing blocks while it is held.
	mu      sync.Mutex
	batches map[uint64]unsettled
	lastID  uint64
}

// unsettled is what inFlight needs to know of a batch.
type unsettled struct {
	messages  int
	published string // when Zato published the first message
}

func newInFlight() *inFlight { return &inFlight{batches: map[uint64]unsettled{}} }

// add tracks a batch until the returned function was called for all of its messages. Then it calls onSettled.
func (f *inFlight) add(messages []message, onSettled func()) (settle func([]message, outcome)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastID++
	id := f.lastID
	f.batches[id] = unsettled{len(messages), messages[0].PubTime}
	var left atomic.Int64
	left.Store(int64(len(messages)))
	return func(messages []message, _ outcome) {
		if left.Add(-int64(len(messages))) == 0 {
			onSettled()
			f.remove(id)
		}
	}
}

func (f *inFlight) remove(id uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.batches, id)
}

// messages returns how many messages are not settled.
func (f *inFlight) messages() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, b := range f.batches {
		n += b.messages
	}
	return n
}

// publishedAt is the layout of the time of publication, in UTC.
const publishedAt = "2006-01-02T15:04:05.999999"

// age returns how long before now the oldest batch was published, by Zato's clock and this machine's. It returns zero
// if there is none.
func (f *inFlight) age(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var oldest time.Duration
	for _, b := range f.batches {
		if at, err := time.Parse(publishedAt, b.published); err == nil {
			oldest = max(oldest, now.Sub(at))
		}
	}
	return oldest
}

// report logs how many messages are lost when the input is closed without a journal.
func (f *inFlight) report(log *service.Logger) {
	if n := f.messages(); n > 0 {
		log.Errorf("%d messages were read from Zato and not acknowledged by the pipeline before it stopped. Zato does not "+
			"send them again: those that were not delivered are lost. To lose none, set %s.%s, or stop the publishers "+
			"first and wait until the pipeline is empty", n, fieldJournal, fieldPath)
	}
}
