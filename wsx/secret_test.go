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
	withServer(t, func(s *testServer) {
		t := s.t
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
		c := s.connect("/hidden", hidden)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		note(err)
		advance(2 * time.Second)
		s.publishTexts("one")
		s.receiveTexts(c, 1)
		s.Cut()
		synctest.Wait()
		note(c.AwaitReady(t.Context()))
		_, err = c.Invoke(t.Context(), "my.fail", 1)
		note(err)
		note(c.Unsubscribe(t.Context(), topic))
		note(c.Resume(t.Context(), wsx.Subscription{Topic: topic, Key: "zpsk.wsx.hidden.key"}))
		s.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.rspa"}, "data": {"token": 1}}`))
		synctest.Wait()
		s.SetSecret("/hidden", "other")
		s.Cut()
		advance(time.Second)
		note(c.AwaitReady(t.Context()))
		note(c.Close())
		said += s.log.String()
		require.Contains(t, said, "login refused")
		for _, word := range []string{secret, "zwsxt.", "zpsk."} {
			assert.NotContains(t, said, word)
		}
	}, wsxtest.WithChannel(wsxtest.Channel{Path: "/hidden", Username: "user1", Secret: secret}))
}
