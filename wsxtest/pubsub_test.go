package wsxtest_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

const (
	servicePublish = "zato.pubsub.pubapi.publish-message"
	serviceResume  = "zato.pubsub.resume-wsx-subscription"
)

// pushedMessage is a message that the server pushed.
type pushedMessage struct {
	Data          json.RawMessage `json:"data"`
	MsgID         string          `json:"msg_id"`
	Priority      int             `json:"priority"`
	Expiration    int64           `json:"expiration"`
	InReplyTo     string          `json:"in_reply_to"`
	DeliveryCount int             `json:"delivery_count"`
}

// messages returns the messages of the next event, which must be a frame of messages.
func (p *peer) messages(t *testing.T) []pushedMessage {
	t.Helper()
	f := p.frame(t)
	require.Equal(t, "zwsx.psrq", f.Meta.MsgType, "%s", f.Data)
	if f.Data[0] == '[' {
		var list []pushedMessage
		require.NoError(t, json.Unmarshal(f.Data, &list))
		return list
	}
	var one pushedMessage
	require.NoError(t, json.Unmarshal(f.Data, &one))
	assert.Equal(t, one.MsgID, f.Meta.ID)
	return []pushedMessage{one}
}

func publish(t *testing.T, srv *testServer, topic string, data any, opts wsxtest.PublishOptions) string {
	t.Helper()
	id, err := srv.Publish(topic, data, opts)
	require.NoError(t, err)
	return id
}

func TestFrameCarriesAtMostFiveHundredMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		p.subscribe(t, "/my/topic", nil)
		for range 501 {
			publish(t, srv, "/my/topic", "x", wsxtest.PublishOptions{})
		}
		assert.Len(t, p.messages(t), 500)
		assert.Len(t, p.messages(t), 1)
		assert.Len(t, srv.Published(), 501)
		assert.Len(t, srv.Delivered(), 501)
	})
}

func TestServerPublishesObjectsAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		key := p.subscribe(t, "/my/topic", nil)
		no := false
		id := publish(t, srv, "/my/topic", map[string]int{"a": 1}, wsxtest.PublishOptions{
			Priority: 9, Expiration: 5, CorrelID: "c", InReplyTo: "r", GuaranteedDelivery: &no,
		})
		m := p.messages(t)[0]
		assert.JSONEq(t, `"{\n    \"a\": 1\n}"`, string(m.Data), "data in memory is a text")
		assert.Equal(t, []any{id, 9, int64(5), "r"}, []any{m.MsgID, m.Priority, m.Expiration, m.InReplyTo})
		delivered := srv.Delivered()
		require.Len(t, delivered, 1)
		assert.Equal(t, wsxtest.Message{
			ID: id, Topic: "/my/topic", SubKey: key, Data: json.RawMessage(`"{\n    \"a\": 1\n}"`),
			Priority: 9, CorrelID: "c", DeliveryCount: 1,
		}, delivered[0])
		_, err := srv.Publish("/no/such", 1, wsxtest.PublishOptions{})
		require.ErrorContains(t, err, "/no/such")
		_, err = srv.Publish("/my/topic", func() {}, wsxtest.PublishOptions{})
		require.Error(t, err)
	})
}

func TestTwoSubscriptionsOnOneConnectionGetEveryMessageTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		p.subscribe(t, "/my/topic", nil)
		p.subscribe(t, "/my/topic", nil)
		id := publish(t, srv, "/my/topic", "x", wsxtest.PublishOptions{})
		assert.Equal(t, id, p.messages(t)[0].MsgID)
		assert.Equal(t, id, p.messages(t)[0].MsgID)
	})
}

func TestPublicationFieldsAreParsedAsInPython(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		for request, status := range map[string]int{
			`{"topic_name":"/my/topic","data":"x","priority":"7"}`:          200,
			`{"topic_name":"/my/topic","data":"x","priority":null}`:         200,
			`{"topic_name":"/my/topic","data":"x","priority":0}`:            200,
			`{"topic_name":"/my/topic","data":"x","priority":10}`:           400,
			`{"topic_name":"/my/topic","data":"x","priority":1.5}`:          200,
			`{"topic_name":"/my/topic","data":"x","priority":"high"}`:       500,
			`{"topic_name":"/my/topic","data":"x","expiration":-1}`:         400,
			`{"topic_name":"/my/topic","data":"x","expiration":0}`:          200,
			`{"topic_name":"/my/topic","data":"x","expiration":"99999999"}`: 200,
			`{"topic_name":"/my/topic","data":"x","has_gd":true}`:           200,
			`{"topic_name":"/my/topic","data":"x","has_gd":"maybe"}`:        500,
			`{"topic_name":"/my/topic","data":[]}`:                          200,
			`{"topic_name":"/my/topic","data":null}`:                        400,
			`{"topic_name":"/my/topic","data":""}`:                          400,
			`{}`:                                                            500,
		} {
			f := p.invoke(t, servicePublish, json.RawMessage(request))
			assert.Equal(t, status, f.Meta.Status, request)
		}
		guaranteed := 0
		for _, m := range srv.Published() {
			if m.GuaranteedDelivery {
				guaranteed++
			}
		}
		assert.Equal(t, 1, guaranteed)
	})
}

func TestPublicationCannotTurnOffGuaranteedDeliveryOfItsTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithTopic(wsxtest.Topic{Name: "/guaranteed", GuaranteedDelivery: true}))
		p := srv.login(t)
		for _, hasGD := range []any{false, "false", "no", 0, "", nil} {
			result(t, p.invoke(t, servicePublish, map[string]any{"topic_name": "/guaranteed", "data": "x", "has_gd": hasGD}))
		}
		for i, m := range srv.Published() {
			assert.True(t, m.GuaranteedDelivery, i)
		}
	})
}

func TestPublishedDataIsConvertedToPythonNotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		p.subscribe(t, "/my/topic", nil)
		for data, want := range map[string]string{
			`"text"`:                                "text",
			`true`:                                  "True",
			`2.5`:                                   "2.5",
			`{"b":[false,null,{}],"a":{"x":[]}}`:    "{'b': [False, None, {}], 'a': {'x': []}}",
			`["it's","\"q\"","both ' and \"","ż"]`:  `["it's", '"q"', 'both \' and "', 'ż']`,
			`["\n\t\r\\\u0001\u00a0"]`:              `['\n\t\r\\\x01\xa0']`,
			`{"12345678901234567890":1e2,"k":"\/"}`: `{'12345678901234567890': 100.0, 'k': '/'}`,
		} {
			f := p.invoke(t, servicePublish, map[string]any{"topic_name": "/my/topic", "data": json.RawMessage(data)})
			require.Equal(t, 200, f.Meta.Status)
			var got string
			require.NoError(t, json.Unmarshal(p.messages(t)[0].Data, &got))
			assert.Equal(t, want, got)
		}
	})
}

func TestForbiddenAndUnknownTopicsAreRefused(t *testing.T) {
	limited := wsxtest.Channel{Path: "/limited", NoPublish: []string{"/my/topic"}, NoSubscribe: []string{"/my/topic2"}}
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithChannel(limited))
		p := srv.dial(t, "/limited").logIn(t, nil)
		const subscribe, create = "zato.pubsub.pubapi.subscribe-wsx", "zato.pubsub.subscription.create-wsx-subscription"
		for _, c := range []struct {
			service, topic string
			status         int
		}{
			{servicePublish, "/my/topic", 403},
			{servicePublish, "/my/topic2", 200},
			{servicePublish, "/no/such", 403},
			{subscribe, "/my/topic", 200},
			{subscribe, "/my/topic2", 403},
			{create, "/my/topic2", 403},
			{subscribe, "/no/such", 404},
			{create, "/no/such", 404},
			{create, "", 400},
			{subscribe, "", 400},
		} {
			f := p.invoke(t, c.service, map[string]any{"topic_name": c.topic, "data": "x"})
			assert.Equal(t, c.status, f.Meta.Status, "%s %s", c.service, c.topic)
		}
		f := p.invoke(t, "zato.pubsub.pubapi.unsubscribe", map[string]any{"sub_key": "zpsk.x"})
		assert.Equal(t, 500, f.Meta.Status)
	})
}

func TestTopicsAreCreatedOnFirstUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithAutoCreatedTopics())
		p := srv.login(t)
		p.subscribe(t, "/brand/new", nil)
		f := p.invoke(t, servicePublish, map[string]any{"topic_name": "/brand/new", "data": "x"})
		require.Equal(t, 200, f.Meta.Status)
		p.messages(t)
		publish(t, srv, "/newer", "x", wsxtest.PublishOptions{})
	})
}

func TestSubscriptionCannotBeResumedOnAnotherChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		key := srv.login(t).subscribe(t, "/my/topic", map[string]any{"unsub_on_wsx_close": false})
		other := srv.dial(t, "/my.wsx.short").logIn(t, nil)
		assert.Equal(t, 403, other.invoke(t, serviceResume, map[string]any{"sub_key": key}).Meta.Status)
	})
}

// subscribeAndLeave makes a durable subscription, closes the connection and waits
// until the takeover delay has passed.
func subscribeAndLeave(t *testing.T, srv *testServer, topic string) string {
	t.Helper()
	p := srv.login(t)
	key := p.subscribe(t, topic, map[string]any{"unsub_on_wsx_close": false})
	p.close(t)
	<-time.After(time.Second)
	return key
}

func TestQueuedMessagesMayPrecedeTheResumeResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithPushBeforeResponse())
		key := subscribeAndLeave(t, srv, "/my/topic")
		id := publish(t, srv, "/my/topic", "x", wsxtest.PublishOptions{InReplyTo: "r"})
		p := srv.login(t)
		resumeID := p.sendInvocation(t, serviceResume, map[string]any{"sub_key": key})
		m := p.messages(t)[0]
		assert.Equal(t, id, m.MsgID)
		assert.Equal(t, "r", m.InReplyTo)
		assert.Equal(t, resumeID, p.frame(t).Meta.InReplyTo)
	})
}

func TestMessagesInMemoryAreLostWithTheirConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		memory := p.subscribe(t, "/my/topic", map[string]any{"unsub_on_wsx_close": false})
		guaranteed := p.subscribe(t, "/my/topic.gd", map[string]any{"unsub_on_wsx_close": false})
		deleted := p.subscribe(t, "/my/topic", nil)
		publish(t, srv, "/my/topic", "lost", wsxtest.PublishOptions{})
		publish(t, srv, "/my/topic.gd", "kept", wsxtest.PublishOptions{})
		srv.Cut()
		synctest.Wait()
		publish(t, srv, "/my/topic", "lost too", wsxtest.PublishOptions{})
		publish(t, srv, "/my/topic.gd", "kept too", wsxtest.PublishOptions{})
		<-time.After(time.Second)
		publish(t, srv, "/my/topic", "kept", wsxtest.PublishOptions{})
		p = srv.login(t)
		for key, want := range map[string]int{memory: 1, guaranteed: 2} {
			result(t, p.invoke(t, serviceResume, map[string]any{"sub_key": key}))
			assert.Len(t, p.messages(t), want)
		}
		assert.Equal(t, 500, p.invoke(t, serviceResume, map[string]any{"sub_key": deleted}).Meta.Status)
	})
}

func TestNothingIsLostWithoutATakeoverDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithTakeoverDelay(0))
		first := srv.login(t)
		key := first.subscribe(t, "/my/topic", map[string]any{"unsub_on_wsx_close": false})
		second := srv.login(t)
		result(t, second.invoke(t, serviceResume, map[string]any{"sub_key": key}))
		publish(t, srv, "/my/topic", "x", wsxtest.PublishOptions{})
		second.messages(t)
		second.close(t)
		synctest.Wait()
		publish(t, srv, "/my/topic", "y", wsxtest.PublishOptions{})
		result(t, first.invoke(t, serviceResume, map[string]any{"sub_key": key}))
		first.messages(t)
	})
}

func TestExpiredMessagesComeLaterUnlessTheTopicHasAYoungerOne(t *testing.T) {
	for _, hasYounger := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			srv := startServer(t)
			key := subscribeAndLeave(t, srv, "/my/topic")
			old := publish(t, srv, "/my/topic", "old", wsxtest.PublishOptions{Expiration: 1})
			id := publish(t, srv, "/my/topic", "young", wsxtest.PublishOptions{})
			<-time.After(2 * time.Second)
			if hasYounger {
				publish(t, srv, "/my/topic", "younger", wsxtest.PublishOptions{Priority: 1})
			}
			p := srv.login(t)
			result(t, p.invoke(t, serviceResume, map[string]any{"sub_key": key}))
			assert.Equal(t, id, p.messages(t)[0].MsgID)
			if hasYounger {
				p.requireSilence(t, 10*time.Second)
				return
			}
			assert.Equal(t, old, p.messages(t)[0].MsgID)
		})
	}
}

func TestExpiredMessagesAreNotPushedToAConnectedClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithDeliveryInterval(10*time.Second))
		p := srv.login(t)
		p.subscribe(t, "/my/topic", nil)
		<-time.After(5 * time.Second)
		publish(t, srv, "/my/topic", "old", wsxtest.PublishOptions{Expiration: 1})
		p.requireSilence(t, 20*time.Second)
	})
}

func TestDuplicatesComeInTheSameFrameAndInTheNextRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithDuplicates(true))
		p := srv.login(t)
		p.subscribe(t, "/my/topic", nil)
		var ids []string
		for i := range 3 {
			ids = append(ids, publish(t, srv, "/my/topic", strconv.Itoa(i), wsxtest.PublishOptions{}))
		}
		first := p.messages(t)
		require.Len(t, first, 4)
		assert.Equal(t, ids[0], first[3].MsgID)
		second := p.messages(t)
		require.Len(t, second, 1)
		assert.Equal(t, ids[1], second[0].MsgID)
		assert.Equal(t, 2, second[0].DeliveryCount)
		p.requireSilence(t, 5*time.Second)
	})
}

func TestDeliveryIntervalIsConfigurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithDeliveryInterval(10*time.Millisecond))
		p := srv.login(t)
		p.subscribe(t, "/my/topic", nil)
		<-time.After(time.Second)
		began := time.Now()
		publish(t, srv, "/my/topic", "x", wsxtest.PublishOptions{})
		p.messages(t)
		assert.LessOrEqual(t, time.Since(began), 10*time.Millisecond)
	})
}

func TestStalledClientLeavesTheQueueAtTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		ws := srv.stalledClient(t)
		for range 10 {
			publish(t, srv, "/my/topic.gd", "x", wsxtest.PublishOptions{})
		}
		<-time.After(time.Minute) // pings are blocked too
		assert.Equal(t, 1, srv.Connections())
		assert.Empty(t, srv.Delivered())
		require.NoError(t, ws.NetConn().Close())
		synctest.Wait()
		subs := srv.Subscriptions()
		require.Len(t, subs, 1)
		assert.Equal(t, 10, subs[0].Depth)
		p := srv.login(t)
		result(t, p.invoke(t, serviceResume, map[string]any{"sub_key": subs[0].SubKey}))
		got := p.messages(t)
		assert.Len(t, got, 10)
	})
}

func TestFirstSubscriberGetsTheMessagesOfTheTopicTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		first := publish(t, srv, "/my/topic", "one", wsxtest.PublishOptions{})
		second := publish(t, srv, "/my/topic", "two", wsxtest.PublishOptions{})
		p := srv.login(t)
		p.subscribe(t, "/my/topic", nil)
		var got []string
		for _, m := range p.messages(t) {
			got = append(got, m.MsgID)
		}
		assert.Equal(t, []string{first, first, second, second}, got)
		p.subscribe(t, "/my/topic", nil)
		p.requireSilence(t, 2*time.Second)
	})
}
