package wsxtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestTakeoverMovesGuaranteedMessagesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		first, second := srv.login(t), srv.login(t)
		key := first.subscribe(t, "/my/topic", map[string]any{"unsub_on_wsx_close": false})
		yes := true
		guaranteed := publish(t, srv, "/my/topic", "guaranteed", wsxtest.PublishOptions{GuaranteedDelivery: &yes})
		inMemory := publish(t, srv, "/my/topic", "in memory", wsxtest.PublishOptions{})
		result(t, second.invoke(t, serviceResume, map[string]any{"sub_key": key}))
		assert.Equal(t, guaranteed, second.messages(t)[0].MsgID)
		result(t, second.invoke(t, serviceResume, map[string]any{"sub_key": key})) // attached already
		assert.Equal(t, inMemory, first.messages(t)[0].MsgID)
		subs := srv.Subscriptions()
		require.Len(t, subs, 1)
		assert.True(t, subs[0].Attached)
		assert.Contains(t, result(t, second.invoke(t, "my.whoami", 1)), subs[0].AttachedTo)
	})
}

func TestEndOfAFormerConnectionDeafensItsSuccessor(t *testing.T) {
	for _, topic := range []string{"/my/topic", "/my/topic.gd"} {
		synctest.Test(t, func(t *testing.T) {
			srv := startServer(t)
			first, second := srv.login(t), srv.login(t)
			key := first.subscribe(t, topic, map[string]any{"unsub_on_wsx_close": false})
			result(t, second.invoke(t, serviceResume, map[string]any{"sub_key": key}))
			first.close(t)
			<-time.After(time.Second)
			id := publish(t, srv, topic, "x", wsxtest.PublishOptions{})
			second.requireSilence(t, 10*time.Second)
			assert.False(t, srv.Subscriptions()[0].Attached)
			result(t, second.invoke(t, serviceResume, map[string]any{"sub_key": key}))
			assert.Equal(t, id, second.messages(t)[0].MsgID, "nothing is lost")
		})
	}
}

func TestEndOfAFormerConnectionDoesNoHarmOnAConnectGateway(t *testing.T) {
	for _, durable := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			srv := startConnectServer(t)
			first, second := srv.connect(t, connectPath), srv.connect(t, connectPath)
			key := first.subscribe(t, "/my/topic", map[string]any{"unsub_on_wsx_close": !durable})
			result(t, second.invoke(t, serviceResume, map[string]any{"sub_key": key}))
			first.close(t)
			id := publish(t, srv, "/my/topic", "x", wsxtest.PublishOptions{})
			assert.Equal(t, id, second.messages(t)[0].MsgID)
			other := srv.connect(t, "/other")
			request := map[string]any{"sub_key": key, "topic_name": "/my/topic"}
			assert.Equal(t, 403, other.invoke(t, "zato.pubsub.pubapi.unsubscribe", request).Meta.Status)
		})
	}
}

func TestGuaranteedMessagesOfAClosedConnectionWaitForItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		first, second := srv.login(t), srv.login(t)
		key := first.subscribe(t, "/my/topic.gd", map[string]any{"unsub_on_wsx_close": false})
		result(t, second.invoke(t, serviceResume, map[string]any{"sub_key": key}))
		id := publish(t, srv, "/my/topic.gd", "during the handover", wsxtest.PublishOptions{})
		first.close(t)
		result(t, second.invoke(t, serviceResume, map[string]any{"sub_key": key}))
		assert.Equal(t, id, second.messages(t)[0].MsgID)
	})
}

func TestResumedSubscriptionThatIsNotDurableEndsWithItsFirstConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		first, second := srv.login(t), srv.login(t)
		key := first.subscribe(t, "/my/topic", nil)
		result(t, second.invoke(t, serviceResume, map[string]any{"sub_key": key}))
		first.close(t)
		assert.Empty(t, srv.Subscriptions())
	})
}

func TestOtherEndpointCannotUnsubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		key := srv.login(t).subscribe(t, "/my/topic", nil)
		other := srv.dial(t, "/my.wsx").logIn(t, nil)
		request := map[string]any{"sub_key": key, "topic_name": "/my/topic"}
		result(t, other.invoke(t, "zato.pubsub.pubapi.unsubscribe", request))
		assert.Len(t, srv.Subscriptions(), 1)
	})
}

func TestServerNeedsTimeToKnowANewSubscriber(t *testing.T) {
	for topic, expected := range map[string]int{"/my/topic": 1, "/my/topic.gd": 2} {
		synctest.Test(t, func(t *testing.T) {
			srv := startServer(t, wsxtest.WithRegistrationDelay(100*time.Millisecond))
			srv.login(t).subscribe(t, topic, nil)
			p := srv.login(t)
			p.subscribe(t, topic, nil)
			publish(t, srv, topic, "1", wsxtest.PublishOptions{})
			p.requireSilence(t, 3*time.Second)
			publish(t, srv, topic, "2", wsxtest.PublishOptions{})
			assert.Len(t, p.messages(t), expected, topic)
		})
	}
}

func TestReliableServerRemembersItsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithReliableSubscriptions())
		first, second := srv.login(t), srv.login(t)
		key := first.subscribe(t, "/my/topic.gd", map[string]any{"unsub_on_wsx_close": false})
		srv.login(t).subscribe(t, "/my/topic", nil)
		result(t, second.invoke(t, serviceResume, map[string]any{"sub_key": key}))
		first.close(t)
		id := publish(t, srv, "/my/topic.gd", "x", wsxtest.PublishOptions{})
		assert.Equal(t, id, second.messages(t)[0].MsgID)
		srv.Stop()
		require.NoError(t, srv.Restart())
		third := srv.login(t)
		result(t, third.invoke(t, serviceResume, map[string]any{"sub_key": key}))
		third.close(t)
		require.Len(t, srv.Subscriptions(), 1)
		assert.Equal(t, key, srv.Subscriptions()[0].SubKey)
	})
}

func TestAdministratorDeletesTopicsAndSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		p := srv.login(t)
		key := p.subscribe(t, "/my/topic", map[string]any{"unsub_on_wsx_close": false})
		c, _ := srv.subscribeByName(t, map[string]any{"topic_name": "/my/topic"})
		waiting := c.sendInvocation(t, "connect.fetch", c.request(map[string]any{"wait": 20}))
		synctest.Wait()
		srv.DeleteTopic("/my/topic")
		srv.DeleteTopic("/no/such")
		f := c.frame(t)
		require.Equal(t, waiting, f.Meta.InReplyTo)
		requireRefused(t, f, 404, "No such subscription")

		resume := map[string]any{"sub_key": key}
		topic := map[string]any{"topic_name": "/my/topic", "sub_key": key, "data": "x"}
		for service, status := range map[string]int{
			servicePublish: 403, "zato.pubsub.pubapi.unsubscribe": 403, "zato.pubsub.pubapi.subscribe-wsx": 404,
			serviceResume: 500,
		} {
			assert.Equal(t, status, p.invoke(t, service, topic).Meta.Status, service)
		}
		srv.CreateTopic(wsxtest.Topic{Name: "/my/topic"})
		assert.Equal(t, 500, p.invoke(t, serviceResume, resume).Meta.Status)
		resume["sub_key"] = p.subscribe(t, "/my/topic", nil)
		srv.DeleteSubscription(p.subscribe(t, "/my/topic2", nil))
		srv.DeleteSubscription("no such key")
		publish(t, srv, "/my/topic2", "x", wsxtest.PublishOptions{})
		publish(t, srv, "/my/topic", "y", wsxtest.PublishOptions{})
		assert.JSONEq(t, `"y"`, string(p.messages(t)[0].Data))
		p.requireSilence(t, 3*time.Second)
	})
}

func TestTopicThatIsFullDropsMessagesInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithTopic(wsxtest.Topic{Name: "/small", MaxDepthNonGD: 2, MaxDepthGD: 1}))
		guaranteed := map[string]any{"topic_name": "/small", "data": "x", "has_gd": true}
		p := srv.login(t)
		result(t, p.invoke(t, servicePublish, guaranteed))
		assert.Equal(t, 503, p.invoke(t, servicePublish, guaranteed).Meta.Status, "nobody is subscribed")
		p.subscribe(t, "/small", nil)
		p.messages(t)
		for range 4 {
			publish(t, srv, "/small", "y", wsxtest.PublishOptions{})
		}
		assert.Len(t, p.messages(t), 2)
		for range 4 {
			result(t, srv.login(t).invoke(t, servicePublish, guaranteed))
		}
		assert.Len(t, p.messages(t), 4)
	})
}
