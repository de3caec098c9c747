package throttle_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/internal/throttle"
)

func TestThrottleAllowsOneEventInAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var throttled throttle.Throttle
		allowed := 0
		for range 120 {
			if throttled.Allow() {
				allowed++
			}
			time.Sleep(time.Second) //nolint:forbidigo // the time is virtual
		}
		assert.Equal(t, 2, allowed)
	})
}
