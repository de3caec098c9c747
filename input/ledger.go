package input

import (
	"sync"
	"sync/atomic"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// ledger counts the messages that were read from Zato, that no journal keeps and
// that the pipeline has not settled. Zato will not send them again.
type ledger struct {
	open atomic.Int64
}

// enter counts n messages in, and returns what counts them out again, once.
func (l *ledger) enter(n int) (settle func()) {
	l.open.Add(int64(n))
	return sync.OnceFunc(func() { l.open.Add(-int64(n)) })
}

// report logs what is left when the input is closed.
func (l *ledger) report(log *service.Logger) {
	if n := l.open.Load(); n > 0 {
		log.Errorf("%d messages were read from Zato and not acknowledged by the pipeline before it was stopped: what it "+
			"had not delivered is lost, for Zato sends nothing again. To lose none, set journal.path, or stop the "+
			"publishers first and let the pipeline run empty", n)
	}
}
