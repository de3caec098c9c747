package wsx_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestSecretsPrintAsStars(t *testing.T) {
	cfg := wsx.Config{Secret: "hidden"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		assert.NotContains(t, fmt.Sprintf(verb, cfg.Secret), "hidden", verb)
		assert.NotContains(t, fmt.Sprintf(verb, wsx.Message{SubKey: "hidden"}), "hidden", verb)
	}
	out, err := json.Marshal(map[string]any{"s": cfg.Secret})
	require.NoError(t, err)
	assert.JSONEq(t, `{"s":"***"}`, string(out))
	assert.Equal(t, "hidden", cfg.Secret.Reveal())
	assert.Empty(t, wsx.Secret("").String())
}

func TestNoSecretIsLoggedOrInAnError(t *testing.T) {
	const secret = "hidden-secret"
	withServer(t, func(s *testServer) {
		t := s.t
		var output string
		record := func(err error) {
			if err != nil {
				output += err.Error() + "\n"
			}
		}
		c := s.connect("/hidden", func(cfg *wsx.Config) {
			cfg.Secret = secret
			cfg.OnState = func(_ wsx.State, err error) { record(err) }
		})
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		record(err)
		advance(2 * time.Second)
		s.publishTexts("one")
		s.receiveTexts(c, 1)
		s.Cut()
		synctest.Wait()
		record(c.AwaitReady(t.Context()))
		_, err = c.Invoke(t.Context(), "my.fail", 1)
		record(err)
		record(c.Unsubscribe(t.Context(), topic))
		record(c.Resume(t.Context(), wsx.Subscription{Topic: topic, Key: "zpsk.wsx.hidden.key"}))
		s.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.rspa"}, "data": {"token": 1}}`))
		synctest.Wait()
		s.SetSecret("/hidden", "other")
		s.Cut()
		advance(time.Second)
		record(c.AwaitReady(t.Context()))
		record(c.Close())
		output += s.log.String()
		require.Contains(t, output, "login refused")
		for _, word := range []string{secret, "zwsxt.", "zpsk."} {
			assert.NotContains(t, output, word)
		}
	}, wsxtest.WithChannel(wsxtest.Channel{Path: "/hidden", Username: "user1", Secret: secret}))
}
