package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/connection"
)

// awaitRate waits until the rate limit allows a call.
func (p *processor) awaitRate(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for {
		wait, err := p.accessRate(ctx)
		if err != nil || wait <= 0 {
			return err
		}
		if err := connection.Sleep(ctx, wait); err != nil {
			return fmt.Errorf("rate limit %q: %w", p.rateLimit, err)
		}
	}
}

// accessRate asks the rate limit for one call. It returns how long to wait before the next
// attempt, zero if the call may be made.
func (p *processor) accessRate(ctx context.Context) (wait time.Duration, err error) {
	noResource := p.res.AccessRateLimit(ctx, p.rateLimit, func(r service.RateLimit) {
		wait, err = r.Access(ctx)
	})
	if err = errors.Join(noResource, err); err != nil {
		return 0, fmt.Errorf("rate limit %q: %w", p.rateLimit, err)
	}
	return wait, nil
}
