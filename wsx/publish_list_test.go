package wsx_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestListHasAResultForEachMessage(t *testing.T) {
	withConnect(t, func(s *testServer) {
		t := s.t
		c := s.connect(connectPath)
		list := wsx.PublicationList{Topic: topic, Messages: []wsx.Publication{
			{Data: "one", MsgID: "1"},
			{Data: ""},
			{Data: "two \xc5\x82 \"", Priority: 9, CorrelID: "c", Topic: "/is/ignored"},
			{Data: "three", ExtClientID: strings.Repeat("x", 201)},
			{Data: "four", MsgID: "1"},
			{Data: "\x00"},
		}}
		results, err := c.PublishList(t.Context(), list)
		require.NoError(t, err)
		statuses := make([]wsx.PublishStatus, len(results))
		for i, r := range results {
			statuses[i] = r.Status
			assert.Equal(t, r.Status == wsx.Refused, r.Err != nil)
		}
		assert.Equal(t, []wsx.PublishStatus{
			wsx.Published, wsx.Refused, wsx.Published, wsx.Refused, wsx.Known, wsx.Refused,
		}, statuses)
		published := s.Published()
		require.Len(t, published, 2)
		assert.Equal(t, []any{"1", `"one"`, 9, "c"}, []any{
			published[0].ID, string(published[0].Data), published[1].Priority, published[1].CorrelID,
		})
		assert.Equal(t, published[1].ID, results[2].MsgID)
		require.ErrorIs(t, results[1].Err, wsx.ErrInvalid)
		require.ErrorContains(t, results[1].Err, `publishing to topic "/my/topic.gd": data: is empty`)
		var refused *wsx.ServerError
		require.ErrorAs(t, results[3].Err, &refused)
		assert.Equal(t, wsx.ServerError{Status: 400, Text: "bad ext_client_id"}, *refused)
		assert.Equal(t, wsx.WasSent, wsx.SendStatusOf(results[3].Err))

		again, err := c.PublishList(t.Context(), list)
		require.NoError(t, err)
		assert.Equal(t, wsx.PublishResult{Status: wsx.Known, MsgID: "1"}, again[0])
	})
}

func TestListForATopicWithoutSubscribersIsDropped(t *testing.T) {
	withConnect(t, func(s *testServer) {
		results, err := s.connect(connectPath).PublishList(s.t.Context(), wsx.PublicationList{
			Topic: "/my/drop", Messages: []wsx.Publication{{Data: "x", MsgID: "1"}, {Data: "y"}},
		})
		require.NoError(s.t, err)
		assert.Equal(s.t, []wsx.PublishResult{{Status: wsx.Dropped, MsgID: "1"}, {Status: wsx.Dropped}}, results)
	}, wsxtest.WithTopic(wsxtest.Topic{Name: "/my/drop", DropWithoutSubscribers: true}))
}

func TestListThatCannotBePublishedFailsAsACall(t *testing.T) {
	withConnect(t, func(s *testServer) {
		t := s.t
		c := s.connect(connectPath)
		_, err := c.PublishList(t.Context(), wsx.PublicationList{
			Topic: "/no/such", Messages: []wsx.Publication{{Data: "x"}},
		})
		var refused *wsx.ServerError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, 404, refused.Status)
		require.ErrorContains(t, err, `publishing to topic "/no/such"`)

		s.CutBeforeResponse(1)
		_, err = c.PublishList(t.Context(), wsx.PublicationList{Topic: topic, Messages: []wsx.Publication{{Data: "x"}}})
		require.ErrorIs(t, err, wsx.ErrConnectionLost)
		assert.Equal(t, wsx.MaybeSent, wsx.SendStatusOf(err))
	})
}

func TestListWithoutAValidMessageIsNotSent(t *testing.T) {
	withConnect(t, func(s *testServer) {
		for _, list := range []wsx.PublicationList{
			{Topic: topic}, {Messages: []wsx.Publication{{Data: "x"}}}, {Topic: topic, Messages: make([]wsx.Publication, 2)},
		} {
			results, err := s.newClient(connectPath).PublishList(s.t.Context(), list)
			require.NoError(s.t, err)
			require.Len(s.t, results, len(list.Messages))
			for _, r := range results {
				require.ErrorIs(s.t, r.Err, wsx.ErrInvalid)
			}
		}
		assert.Zero(s.t, s.Invocations("connect.publish"))
	})
}

func TestAnswerThatIsNotOfAListIsAnError(t *testing.T) {
	for name, path := range map[string]string{"connect.publish": stockPath, "": singleServicePath} {
		withServer(t, func(s *testServer) {
			_, err := s.connect(path, func(cfg *wsx.Config) {
				if name == "" {
					cfg.Username, cfg.Secret = "", ""
				}
			}).PublishList(s.t.Context(), wsx.PublicationList{Topic: topic, Messages: []wsx.Publication{{Data: "x"}}})
			require.ErrorIs(s.t, err, wsx.ErrNoGateway, name)
		}, wsxtest.WithService("connect.publish", wsxtest.Echo))
	}
}

func TestDescribedIsKnownUntilTheConnectionEnds(t *testing.T) {
	withConnect(t, func(s *testServer) {
		c := s.connect(connectPath)
		assert.Nil(s.t, c.Described())
		d, err := c.Describe(s.t.Context())
		require.NoError(s.t, err)
		assert.Equal(s.t, &d, c.Described())
		assert.True(s.t, d.Offers(wsx.AbilityPublishList))
		assert.True(s.t, d.Offers(wsx.AbilityPublishKnown))
		assert.Equal(s.t, 2000, d.Limits.PublishMessages)
		stock := s.connect(connectPath, func(cfg *wsx.Config) { cfg.Gateway = wsx.GatewayStock })
		assert.Equal(s.t, &wsx.Description{}, stock.Described())
		s.Stop()
		<-c.Disconnected()
		assert.Nil(s.t, c.Described())
	})
}

func TestMessagesForWhichATopicHasNoRoomAreFull(t *testing.T) {
	withConnect(t, func(s *testServer) {
		t := s.t
		c := s.connect(connectPath)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: "/my/small"})
		require.NoError(t, err)
		yes := true
		results, err := c.PublishList(t.Context(), wsx.PublicationList{Topic: "/my/small", Messages: []wsx.Publication{
			{Data: "1"}, {Data: "2"}, {Data: "3", MsgID: "id"}, {Data: ""}, {Data: "4", HasGD: &yes}, {Data: "5"},
		}})
		require.NoError(t, err)
		statuses := make([]wsx.PublishStatus, len(results))
		for i, r := range results {
			statuses[i] = r.Status
		}
		assert.Equal(t, []wsx.PublishStatus{
			wsx.Published, wsx.Published, wsx.Full, wsx.Refused, wsx.Published, wsx.Full,
		}, statuses)
		assert.Equal(t, "id", results[2].MsgID)
		assert.Empty(t, results[5].MsgID)
		var full *wsx.TopicFullError
		require.ErrorAs(t, results[5].Err, &full)
		assert.Equal(t, wsx.TopicFullError{Depth: 2, MaxDepth: 2}, *full)
		require.EqualError(t, results[5].Err, `publishing to topic "/my/small": the topic is full: `+
			`2 of 2 messages in memory: raise max_depth_non_gd of the topic, or publish with has_gd: true`)
		assert.Equal(t, wsx.WasSent, wsx.SendStatusOf(results[5].Err))
		assert.Len(t, s.Published(), 3)
	}, wsxtest.WithTopic(wsxtest.Topic{Name: "/my/small", MaxDepthNonGD: 2}))
}

func TestPublishToAFullTopicFailsIfTheGatewayIsKnownToHeedTheDepth(t *testing.T) {
	withConnect(t, func(s *testServer) {
		t := s.t
		c := s.connect(connectPath)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: "/my/small"})
		require.NoError(t, err)
		_, err = c.Describe(t.Context())
		require.NoError(t, err)
		id, err := c.Publish(t.Context(), wsx.Publication{Topic: "/my/small", Data: "1", MsgID: "id"})
		require.NoError(t, err)
		assert.Equal(t, "id", id)
		_, err = c.Publish(t.Context(), wsx.Publication{Topic: "/my/small", Data: "2"})
		var full *wsx.TopicFullError
		require.ErrorAs(t, err, &full)
		_, err = c.Publish(t.Context(), wsx.Publication{Topic: "/my/small"})
		require.ErrorIs(t, err, wsx.ErrInvalid)
		id, err = c.Publish(t.Context(), wsx.Publication{Topic: "/my/drop", Data: "3", MsgID: "id 3"})
		require.NoError(t, err)
		assert.Empty(t, id, "the server dropped it")
	}, wsxtest.WithTopic(wsxtest.Topic{Name: "/my/small", MaxDepthNonGD: 1}),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/my/drop", DropWithoutSubscribers: true}))
}
