package wsx

import (
	"context"
	"fmt"
	"time"
)

// callDeadline is when a call is given up. A context that ends then costs several times as
// much, so that one is made of it only where something is waited for long.
type callDeadline struct {
	at    time.Time // zero for never
	cause error
}

// callDeadline returns the limit of a call that has a deadline of its own, or none: the call
// timeout bounds what nothing else does.
func (c *Client) callDeadline(ctx context.Context, deadline time.Time) callDeadline {
	if !deadline.IsZero() {
		return callDeadline{deadline, context.DeadlineExceeded}
	}
	if _, has := ctx.Deadline(); has {
		return callDeadline{}
	}
	return callDeadline{time.Now().Add(c.cfg.CallTimeout), c.callTimeoutErr}
}

// context makes a context that ends at the limit, too.
func (l callDeadline) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.at.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadlineCause(ctx, l.at, l.cause)
}

// withCallTimeout gives ctx the call timeout if it has no deadline of its own.
func (c *Client) withCallTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return c.callDeadline(ctx, time.Time{}).context(ctx)
}

// callTimeoutError is the cause where the call timeout ends something.
type callTimeoutError time.Duration

func (e callTimeoutError) Error() string {
	return fmt.Sprintf("nothing within %s: %s", time.Duration(e), e.Unwrap())
}

func (callTimeoutError) Unwrap() error { return context.DeadlineExceeded }
