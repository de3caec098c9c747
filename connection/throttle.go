package connection

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// connectPause is the time between two attempts of Throttle.Connect.
const connectPause = time.Second

// Throttle limits how often the engine logs at ERROR that a component cannot connect: it does so
// for each error of the component's Connect. The zero value is ready for use.
type Throttle struct {
	mu   sync.Mutex // guards last
	last time.Time  // when Connect returned an error
}

// Connect calls try until it succeeds, and returns its first error, and then one error a minute.
// The manager's log says what happens meanwhile. Connect also returns when ctx ends and when the
// component is closed.
func (t *Throttle) Connect(ctx context.Context, try func(context.Context) error) error {
	for {
		err := try(ctx)
		closed := errors.Is(err, service.ErrEndOfInput) || errors.Is(err, wsx.ErrClosed)
		if err == nil || closed || ctx.Err() != nil || t.take() {
			return err
		}
		timer := time.NewTimer(connectPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// take reports whether an error may be returned, and notes that it is.
func (t *Throttle) take() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if !t.last.IsZero() && now.Sub(t.last) < repeatInterval {
		return false
	}
	t.last = now
	return true
}
