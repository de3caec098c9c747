package connection

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// The pauses before a call is repeated to which the server answered with an error. They double.
const (
	firstRepeatPause   = 50 * time.Millisecond
	longestRepeatPause = 2 * time.Second
)

// Repeat calls do until it succeeds, fails with an error that mayRepeat does not accept, or the
// deadline passes or ctx ends. It returns the last error of do. There is a pause between two
// calls if the server answered the first one. If the answer was lost, there is none, because do
// waits for the next connection. A call that is too large is repeated once: another call on the
// connection may have been the one.
func Repeat(ctx context.Context, deadline time.Time, mayRepeat func(error) bool, do func() error) error {
	pause := firstRepeatPause
	wasTooLarge := false
	for {
		err := do()
		if err == nil || !mayRepeat(err) || ctx.Err() != nil || !time.Now().Before(deadline) {
			return err
		}
		if wsx.IsTooLarge(err) {
			if wasTooLarge {
				return err
			}
			wasTooLarge = true
		}
		if wsx.SendStatusOf(err) != wsx.WasSent {
			continue
		}
		if !time.Now().Add(pause).Before(deadline) {
			return err
		}
		if Sleep(ctx, pause) != nil {
			return err
		}
		pause = min(2*pause, longestRepeatPause)
	}
}

// IsTransient reports whether a call that does nothing twice may succeed when it is repeated: its
// answer was lost, or it is the status 500, with which Zato answers when its database fails.
func IsTransient(err error) bool {
	var answer *wsx.ServerError
	return errors.Is(err, wsx.ErrConnectionLost) ||
		errors.As(err, &answer) && answer.Status == http.StatusInternalServerError
}

// IsTooLarge reports whether a call failed because of its size. After a close frame, another
// call on the connection may have been the one that was too large, so the call counts only if it
// may be repeated.
func IsTooLarge(err error, mayRepeat func(error) bool) bool {
	known := errors.Is(err, wsx.ErrRequestTooLarge) || wsx.SendStatusOf(err) == wsx.WasSent
	return wsx.IsTooLarge(err) && (known || mayRepeat(err))
}

// Sleep waits for d. It returns the error of ctx if that ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
