package wsx_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestNoSecretIsInTheLogOrInAnError(t *testing.T) {
	const secret = "hidden-secret"
	inLab(t, func(l *lab) {
		t := l.t
		var said string
		note := func(err error) {
			if err != nil {
				said += err.Error() + "\n"
			}
		}
		hidden := func(cfg *wsx.Config) {
			cfg.Secret = secret
			cfg.OnState = func(_ wsx.State, err error) { note(err) }
		}
		c := l.ready("/hidden", hidden)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		note(err)
		pass(2 * time.Second)
		l.publish("one")
		l.receive(c, 1)
		l.Cut()
		synctest.Wait()
		note(c.AwaitReady(t.Context()))
		_, err = c.Invoke(t.Context(), "my.fail", 1)
		note(err)
		note(c.Unsubscribe(t.Context(), topic))
		note(c.Resume(t.Context(), wsx.Subscription{Topic: topic, Key: "zpsk.wsx.hidden.key"}))
		l.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.rspa"}, "data": {"token": 1}}`))
		synctest.Wait()
		l.SetSecret("/hidden", "other")
		l.Cut()
		pass(time.Second)
		note(c.AwaitReady(t.Context()))
		note(c.Close())
		said += l.log.String()
		require.Contains(t, said, "login refused")
		for _, word := range []string{secret, "zwsxt.", "zpsk."} {
			assert.NotContains(t, said, word)
		}
	}, wsxtest.WithChannel(wsxtest.Channel{Path: "/hidden", Username: "user1", Secret: secret}))
}
