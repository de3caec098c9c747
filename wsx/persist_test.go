package wsx_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// messagesType is the type in every frame of messages.
const messagesType = "zwsx.psrq"

func TestPersistGetsEveryFrameOfMessagesBeforeReceive(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		persisted, released := 0, 0
		c := s.connect(patchedPath, func(cfg *wsx.Config) {
			cfg.Persist = func(raw []byte) func() {
				persisted++
				if persisted == 4 {
					return nil // not persisted
				}
				assert.Contains(t, string(raw), messagesType)
				return func() { released++ }
			}
		})
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic})
		require.NoError(t, err)
		s.publishTexts("one", "two") // one fills the inbox, so two stays in the socket
		synctest.Wait()
		assert.Equal(t, []int{1, 0}, []int{persisted, released}, "only the frame that was read is persisted")
		for range 2 {
			frame, err := c.Receive(t.Context())
			require.NoError(t, err)
			assert.True(t, frame.Persisted())
			assert.Equal(t, 0, released)
			if string(frame.Messages[0].Data) == "two" {
				frame.Done()
			}
		}
		assert.Equal(t, []int{2, 1}, []int{persisted, released})
		s.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.rspok", "in_reply_to": "x"}, "data": "not ` + messagesType + `"}`))
		synctest.Wait()
		assert.Equal(t, []int{3, 2}, []int{persisted, released}, "another frame that contains the type is released")
		s.SendRaw([]byte(`{"meta": {"msg_type": "` + messagesType + `", "id": "m"}, ` +
			`"data": {"msg_id": "m", "data": "three"}}`))
		frame, err := c.Receive(t.Context())
		require.NoError(t, err)
		assert.False(t, frame.Persisted())
		frame.Done()
		s.SendRaw([]byte(`{"meta": {"msg_type": "` + messagesType + `", "id": "m"}, "data": {"msg_id": invalid}}`))
		synctest.Wait()
		assert.Equal(t, []int{5, 3}, []int{persisted, released}, "an invalid frame is released")
	})
}
