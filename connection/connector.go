package connection

import (
	"context"
	"errors"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/internal/throttle"
	"github.com/zato-connect/zato-connect/wsx"
)

// connectPause is the time between two attempts of Connector.Connect.
const connectPause = time.Second

// Connector implements Connect for a component. The engine logs each error of Connect at ERROR,
// so a Connector returns few. The zero value is ready for use.
type Connector struct{ errors throttle.Throttle }

// Connect calls try until it succeeds. It returns the first error, and then one error a minute.
// The log of the connections says what happens meanwhile. Connect also returns when ctx ends and
// when the component is closed.
func (c *Connector) Connect(ctx context.Context, try func(context.Context) error) error {
	for {
		err := try(ctx)
		closed := errors.Is(err, service.ErrEndOfInput) || errors.Is(err, wsx.ErrClosed)
		if err == nil || closed || ctx.Err() != nil || c.errors.Allow() {
			return err
		}
		if Sleep(ctx, connectPause) != nil {
			return err
		}
	}
}
