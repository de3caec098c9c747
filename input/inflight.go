package input

import (
	"sync"
	"sync/atomic"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// inFlight counts the messages that were read from Zato, that no journal keeps and
// that the pipeline has not settled. Zato will not send them again.
type inFlight struct {
	count atomic.Int64
}

// add counts n messages in, and returns what counts them out again, once.
func (l *inFlight) add(n int) (settle func()) {
	l.count.Add(int64(n))
	return sync.OnceFunc(func() { l.count.Add(-int64(n)) })
}

// report logs what is left when the input is closed.
func (l *inFlight) report(log *service.Logger) {
	if n := l.count.Load(); n > 0 {
		log.Errorf("%d messages were read from Zato and not acknowledged by the pipeline before it was stopped: what it "+
			"had not delivered is lost, for Zato sends nothing again. To lose none, set journal.path, or stop the "+
			"publishers first and let the pipeline run empty", n)
	}
}
