package wsx_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestSupportsDurableReportsWhetherTheGatewayIsPatched(t *testing.T) {
	for path, supported := range map[string]bool{patchedPath: true, stockPath: false} {
		withServer(t, func(s *testServer) {
			got, err := s.newClient(path).SupportsDurable(s.t.Context())
			require.NoError(t, err)
			assert.Equal(t, supported, got)
			assert.Empty(t, s.Subscriptions(), "the subscription was deleted")
		})
		withServer(t, func(s *testServer) {
			got, err := s.newClient(path).SupportsDurable(s.t.Context())
			require.NoError(t, err)
			assert.Equal(t, supported, got)
			assert.Empty(t, s.Subscriptions(), "the subscription was deleted")
		}, wsxtest.WithAutoCreatedTopics()) // so that the subscription succeeds
	}
}

func TestCheckPublishPublishesNothing(t *testing.T) {
	withServer(t, func(s *testServer) {
		c := s.newClient(patchedPath)
		require.NoError(t, c.CheckPublish(s.t.Context(), "/my/topic"))
		err := c.CheckPublish(s.t.Context(), "/no/such/topic")
		var refused *wsx.ServerError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, 403, refused.Status)
		require.ErrorIs(t, c.CheckPublish(s.t.Context(), ""), wsx.ErrInvalid)
		assert.Empty(t, s.Published())
	})
}
