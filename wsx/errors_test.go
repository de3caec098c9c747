package wsx_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

func TestEverySendStatusHasAName(t *testing.T) {
	assert.Equal(t, "not sent", wsx.NotSent.String())
	assert.Equal(t, "sent", wsx.WasSent.String())
	assert.Equal(t, "maybe sent", wsx.MaybeSent.String())
}

// The examples recognize an invalid field by a name before a colon.
func TestErrorOfACallThatWasNotSentLooksLikeNoInvalidField(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		go func() { _, _ = c.Invoke(t.Context(), "my.sleep", sleepRequest) }()
		synctest.Wait()
		_, err := c.Publish(withTimeout(t, time.Second), wsx.Publication{Topic: topic, Data: "x"})
		require.Error(t, err)
		assert.NotRegexp(t, `^publishing to topic "[^"]*": [a-z_]+: `, err.Error())
		_, err = c.Publish(t.Context(), wsx.Publication{Topic: topic})
		require.Error(t, err)
		assert.Regexp(t, `^publishing to topic "[^"]*": data: `, err.Error())
	})
}
