package wsx_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// pushed is in every frame of messages.
const pushed = "zwsx.psrq"

func TestFramesOfMessagesAreKeptFromTheMomentTheyAreRead(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		kept, released := 0, 0
		c := l.ready(patched, func(cfg *wsx.Config) {
			cfg.Persist = func(raw []byte) func() {
				kept++
				if kept == 4 {
					return nil // as where there is no room
				}
				assert.Contains(t, string(raw), pushed)
				return func() { released++ }
			}
		})
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic})
		require.NoError(t, err)
		l.publish("one", "two") // the inbox has room for one, and two waits behind it
		synctest.Wait()
		assert.Equal(t, []int{1, 0}, []int{kept, released}, "what is not read is not kept")
		for range 2 {
			frame, err := c.Receive(t.Context())
			require.NoError(t, err)
			assert.True(t, frame.Persisted())
			assert.Equal(t, 0, released)
			if string(frame.Messages[0].Data) == "two" {
				frame.Done()
			}
		}
		assert.Equal(t, []int{2, 1}, []int{kept, released})
		l.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.rspok", "in_reply_to": "x"}, "data": "not ` + pushed + `"}`))
		synctest.Wait()
		assert.Equal(t, []int{3, 2}, []int{kept, released}, "it is no frame of messages")
		l.SendRaw([]byte(`{"meta": {"msg_type": "` + pushed + `", "id": "m"}, "data": {"msg_id": "m", "data": "three"}}`))
		frame, err := c.Receive(t.Context())
		require.NoError(t, err)
		assert.False(t, frame.Persisted())
		frame.Done()
		l.SendRaw([]byte(`{"meta": {"msg_type": "` + pushed + `", "id": "m"}, "data": {"msg_id": broken}}`))
		synctest.Wait()
		assert.Equal(t, []int{5, 3}, []int{kept, released}, "a broken frame is of no use to anybody")
	})
}
