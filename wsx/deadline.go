package wsx

import (
	"context"
	"fmt"
	"time"
)

// callDeadline is the time at which a call is abandoned. A context with a deadline
// costs several times as much, so it is made from a callDeadline only for a long wait.
type callDeadline struct {
	at    time.Time // zero for never
	cause error
}

// callDeadline returns the deadline of a call: the explicit one, unless it is zero, or
// else the call timeout from now. It returns none if ctx has a deadline, which suffices.
func (c *Client) callDeadline(ctx context.Context, explicit time.Time) callDeadline {
	if !explicit.IsZero() {
		return callDeadline{explicit, context.DeadlineExceeded}
	}
	if _, has := ctx.Deadline(); has {
		return callDeadline{}
	}
	return callDeadline{time.Now().Add(c.cfg.CallTimeout), c.callTimeoutErr}
}

// context returns a context that ends at the deadline too.
func (d callDeadline) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.at.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadlineCause(ctx, d.at, d.cause)
}

// withCallTimeout gives ctx the call timeout if it has no deadline.
func (c *Client) withCallTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return c.callDeadline(ctx, time.Time{}).context(ctx)
}

// callTimeoutError is the cause of a call that the call timeout ended.
type callTimeoutError time.Duration

// Error names the timeout.
func (e callTimeoutError) Error() string {
	return fmt.Sprintf("nothing within %s: %s", time.Duration(e), e.Unwrap())
}

// Unwrap returns context.DeadlineExceeded.
func (callTimeoutError) Unwrap() error { return context.DeadlineExceeded }
