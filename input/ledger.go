package input

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// ledger counts the messages that were read from Zato and that the pipeline has
// not settled. Zato will not send them again.
type ledger struct {
	open atomic.Int64
}

// received counts messages in.
func (l *ledger) received(n int) { l.open.Add(int64(n)) }

// settle returns the function by which the engine settles a batch of n. A
// rejection settles too: it comes only when the input is not to try again.
func (l *ledger) settle(n int) service.AckFunc {
	var once sync.Once
	return func(context.Context, error) error {
		once.Do(func() { l.open.Add(-int64(n)) })
		return nil
	}
}

// report logs what is left when the input is closed.
func (l *ledger) report(log *service.Logger) {
	if n := l.open.Load(); n > 0 {
		log.Errorf("%d messages were read from Zato and not taken by the pipeline before it was stopped: they are lost, "+
			"for Zato sends nothing again. To lose none, stop the publishers first and let the pipeline run empty", n)
	}
}
