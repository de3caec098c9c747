package wsx_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestInvalidPublicationIsNotSentAndNamesTheField(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		long := strings.Repeat("ż", wsx.MaxIDLength+1)
		for field, p := range map[string]wsx.Publication{
			"topic":         {Data: "x"},
			"data":          {Topic: "/my/topic"},
			"data: is not":  {Topic: "/my/topic", Data: "\xff"},
			"priority":      {Topic: "/my/topic", Data: "x", Priority: 99},
			"priority: is ": {Topic: "/my/topic", Data: "x", Priority: -1},
			"expiration":    {Topic: "/my/topic", Data: "x", Expiration: -1},
			"correl_id":     {Topic: "/my/topic", Data: "x", CorrelID: "\xff"},
			"correl_id: has 201 characters: use up to 200":   {Topic: "/my/topic", Data: "x", CorrelID: long},
			"in_reply_to: has 201 characters: use up to 200": {Topic: "/my/topic", Data: "x", InReplyTo: long},
			"mime_type: has 201 characters: use up to 200":   {Topic: "/my/topic", Data: "x", MimeType: long},
			"msg_id: has 201 characters: use up to 200":      {Topic: "/my/topic", Data: "x", MsgID: long},
		} {
			_, err := c.Publish(t.Context(), p)
			require.ErrorIs(t, err, wsx.ErrInvalid, field)
			require.ErrorContains(t, err, field)
			require.ErrorContains(t, err, p.Topic)
		}
		assert.Empty(t, s.Published())
		_, err := c.Publish(t.Context(), wsx.Publication{Topic: "/no/such", Data: "x"})
		var refused *wsx.ServerError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, 403, refused.Status)
		require.ErrorContains(t, err, `publishing to topic "/no/such"`)
	})
}

func TestPublicationWithTheLongestIDsIsAccepted(t *testing.T) {
	longest := strings.Repeat("ż", wsx.MaxIDLength)
	p := wsx.Publication{
		Topic: "/my/topic", Data: "x", CorrelID: longest, InReplyTo: longest, MimeType: longest, MsgID: longest,
		ExtClientID: longest + longest, // its column has no limit
	}
	require.NoError(t, p.Validate())
}

func TestPublishSendsEveryField(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		gd := true
		id, err := c.Publish(t.Context(), wsx.Publication{
			Topic: "/my/topic", Data: `{"a": 1}`, Priority: 7, Expiration: 60, MimeType: "text/csv", CorrelID: "c-1",
			InReplyTo: "r-1", ExtClientID: "e-1", ExtPubTime: "2026-01-02T03:04:05", HasGD: &gd,
			MsgID: "own", MessageID: "frame-1",
		})
		require.NoError(t, err)
		assert.Equal(t, s.Published()[0].ID, id)
		var sent string
		for _, f := range s.Frames() {
			if f.FromClient && strings.Contains(string(f.Payload), "publish-message") {
				sent = string(f.Payload)
			}
		}
		for _, part := range []string{
			`"topic_name":"/my/topic"`, `"data":"{\"a\": 1}"`, `"priority":7`, `"expiration":60`, `"mime_type":"text/csv"`,
			`"correl_id":"c-1"`, `"in_reply_to":"r-1"`, `"ext_client_id":"e-1"`, `"ext_pub_time":"2026-01-02T03:04:05"`,
			`"has_gd":true`, `"msg_id":"own"`, `"id":"frame-1"`,
		} {
			assert.Contains(t, sent, part)
		}
	}, wsxtest.WithFrameRecorder(1000))
}

func TestAnswerWithoutAMessageIDSaysThatTheChannelHasNoGateway(t *testing.T) {
	for name, answer := range map[string]any{
		"nothing":             nil,
		"a text":              "done",
		"another object":      map[string]any{"service": "x"},
		"a number as the id":  map[string]any{"msg_id": 1},
		"an id in an element": []any{map[string]any{"msg_id": "x"}},
	} {
		service := func(context.Context, wsxtest.Invocation) (any, error) { return answer, nil }
		withServer(t, func(s *testServer) {
			t := s.t
			c := s.connect("/service")
			_, err := c.Publish(t.Context(), wsx.Publication{Topic: "/my/topic", Data: "x"})
			require.ErrorIs(t, err, wsx.ErrNoGateway, name)
			require.ErrorContains(t, err, `publishing to topic "/my/topic": the answer has no msg_id`)
			assert.Equal(t, wsx.WasSent, wsx.SendStatusOf(err))
			_, err = c.Subscribe(t.Context(), wsx.Subscription{Topic: "/my/topic"})
			require.ErrorIs(t, err, wsx.ErrNoGateway, name)
			assert.True(t, wsx.IsRejected(err))
			require.ErrorIs(t, c.CheckPublish(t.Context(), "/my/topic"), wsx.ErrNoGateway, name)
		}, wsxtest.WithChannel(wsxtest.Channel{
			Path: "/service", Username: "user1", Secret: "secret1", Service: service,
		}))
	}
}

func TestPublishReturnsNoIDIfZatoDropsTheMessage(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		p := wsx.Publication{Topic: "/my/drop", Data: "x"}
		id, err := c.Publish(t.Context(), p)
		require.NoError(t, err)
		assert.Empty(t, id)
		_, err = c.Subscribe(t.Context(), wsx.Subscription{Topic: "/my/drop"})
		require.NoError(t, err)
		id, err = c.Publish(t.Context(), p)
		require.NoError(t, err)
		assert.NotEmpty(t, id)
		assert.Len(t, s.Published(), 1)
	}, wsxtest.WithTopic(wsxtest.Topic{Name: "/my/drop", DropWithoutSubscribers: true}))
}
