package wsx

import (
	"context"
	"fmt"
	"time"
)

// limit is when a call is given up. A context that ends then costs several times as
// much, so that one is made of it only where something is waited for long.
type limit struct {
	at    time.Time // zero for never
	cause error
}

// limit returns the limit of a call that has a deadline of its own, or none: the call
// timeout bounds what nothing else does.
func (c *Client) limit(ctx context.Context, deadline time.Time) limit {
	if !deadline.IsZero() {
		return limit{deadline, context.DeadlineExceeded}
	}
	if _, has := ctx.Deadline(); has {
		return limit{}
	}
	return limit{time.Now().Add(c.cfg.CallTimeout), c.tooLate}
}

// context makes a context that ends at the limit, too.
func (l limit) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.at.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadlineCause(ctx, l.at, l.cause)
}

// bounded gives ctx the call timeout if it has no deadline of its own.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return c.limit(ctx, time.Time{}).context(ctx)
}

// tooLateError is the cause where the call timeout ends something.
type tooLateError time.Duration

func (e tooLateError) Error() string {
	return fmt.Sprintf("nothing within %s: %s", time.Duration(e), e.Unwrap())
}

func (tooLateError) Unwrap() error { return context.DeadlineExceeded }
