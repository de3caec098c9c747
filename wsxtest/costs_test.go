package wsxtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestCostsAreThoseOfOneProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t, wsxtest.WithCosts(wsxtest.MeasuredCosts()))
		p, other := srv.connect(t, connectPath), srv.connect(t, connectPath)
		took := func(call func()) time.Duration {
			start := time.Now()
			call()
			return time.Since(start)
		}
		messages, requests := make([]any, 100), make([]any, 100)
		for i := range messages {
			messages[i], requests[i] = map[string]any{"data": "text"}, i+1
		}
		for name, test := range map[string]struct {
			call     func()
			expected time.Duration
		}{
			"a message": {func() {
				p.invoke(t, "zato.pubsub.pubapi.publish-message", map[string]any{"topic_name": "/my/topic", "data": "text"})
			}, 6 * time.Millisecond},
			"a list of messages": {func() { p.publishList(t, "/my/topic", messages...) }, 34200 * time.Microsecond},
			"a call":             {func() { p.invoke(t, "my.echo", 1) }, 600 * time.Microsecond},
			"a list of requests": {func() {
				p.invokeList(t, map[string]any{"service": "my.echo", "requests": requests})
			}, 5100 * time.Microsecond},
			"two connections": {func() {
				other.sendInvocation(t, "my.echo", 1)
				p.sendInvocation(t, "my.echo", 1)
				other.frame(t)
				p.frame(t)
			}, 1200 * time.Microsecond},
		} {
			assert.Equal(t, test.expected, took(test.call), name)
		}
	})
}
