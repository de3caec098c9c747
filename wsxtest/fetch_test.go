package wsxtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestMessagesWaitUntilTheyAreFetchedAndConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, first := srv.subscribeByName(t, nil)
		assert.True(t, first.Created)
		low := publish(t, srv, "/my/topic.gd", "low", wsxtest.PublishOptions{Priority: 1})
		<-time.After(time.Millisecond)
		older := publish(t, srv, "/my/topic.gd", "older", wsxtest.PublishOptions{Priority: 9})
		<-time.After(time.Millisecond)
		younger := publish(t, srv, "/my/topic.gd", map[string]int{"n": 1}, wsxtest.PublishOptions{Priority: 9})

		got := c.fetch(t, map[string]any{"max": 2})
		assert.Equal(t, []string{older, younger}, got.ids())
		assert.JSONEq(t, `"{\n    \"n\": 1\n}"`, string(got.Messages[1].Data), "the database has only texts")
		assert.Equal(t, []string{low}, c.fetch(t, map[string]any{"confirmed": got.ids()}).ids())
		assert.Empty(t, c.fetch(t, nil).ids(), "none comes twice")

		c, again := srv.subscribeByName(t, nil)
		assert.Equal(t, subscribed{c.subKey, c.holder, false, 1}, again)
		got = c.fetch(t, map[string]any{"confirmed": []string{older, "no such", low}})
		assert.Equal(t, 1, got.Confirmed, "only what was still there")
		assert.Empty(t, got.Messages)
		assert.Len(t, srv.Delivered(), 3)
	})
}

func TestWhoeverSubscribesLastHasAnExclusiveSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		before, _ := srv.subscribeByName(t, nil)
		ids := srv.publishMany(t, 3)
		require.Equal(t, ids, before.fetch(t, nil).ids())
		waiting := before.sendInvocation(t, "connect.fetch", before.request(map[string]any{"wait": 20}))
		synctest.Wait()

		began := time.Now()
		after, answer := srv.subscribeByName(t, nil)
		assert.Equal(t, 3, answer.GivenBack)
		f := before.frame(t)
		require.Equal(t, waiting, f.Meta.InReplyTo)
		requireRefused(t, f, 409, taken)
		assert.Equal(t, began, time.Now(), "a fetch that waits hears of it at once")

		// What the former consumer confirms counts. It cannot give anything back.
		late := map[string]any{"confirmed": ids[:1], "returned": ids[1:], "release": true}
		requireRefused(t, before.invoke(t, "connect.fetch", before.request(late)), 409, taken)
		got := after.fetch(t, nil)
		assert.Equal(t, ids[1:], got.ids())
		assert.Equal(t, []int{2, 2}, got.counts())
		assert.Empty(t, after.fetch(t, nil).ids())
	})
}

func TestConsumerReconnectsWithItsHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		p := srv.connect(t, connectPath)
		requireRefused(t, p.invoke(t, "connect.subscribe", named(map[string]any{"holder": "x"})), 404, "No such subscription")
		assert.Empty(t, srv.Subscriptions())

		c, _ := srv.subscribeByName(t, nil)
		former := *c.holder
		c.subscribeAgain(t, map[string]any{"holder": former})
		assert.NotEqual(t, former, *c.holder)
		requireRefused(t, p.invoke(t, "connect.subscribe", named(map[string]any{"holder": former})), 409, taken)
		c.fetch(t, nil)
	})
}

func TestStandByTakesOnlyAnIdleSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		standBy := &consumer{peer: srv.connect(t, connectPath)}
		ifIdle := map[string]any{"if_idle": 30}
		require.False(t, standBy.mayTakeOver(t, ifIdle), "it has just subscribed")
		<-time.After(20 * time.Second)
		c.sendInvocation(t, "connect.fetch", c.request(map[string]any{"wait": 20}))
		<-time.After(15 * time.Second)
		require.False(t, standBy.mayTakeOver(t, ifIdle), "a fetch waits")
		c.frame(t)
		<-time.After(29 * time.Second)
		require.False(t, standBy.mayTakeOver(t, ifIdle), "it has fetched 29 s ago")
		<-time.After(time.Second)
		require.True(t, standBy.mayTakeOver(t, ifIdle))
		requireRefused(t, c.invoke(t, "connect.fetch", c.request(nil)), 409, taken)
	})
}

// mayTakeOver subscribes and reports whether that took the subscription.
func (c *consumer) mayTakeOver(t *testing.T, extra map[string]any) bool {
	t.Helper()
	f := c.invoke(t, "connect.subscribe", named(extra))
	if f.Meta.Status == 409 {
		return false
	}
	var answer subscribed
	companionResult(t, f, &answer)
	return true
}

func TestReleasedSubscriptionIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		ids := srv.publishMany(t, 3)
		require.Equal(t, ids, c.fetch(t, nil).ids())
		got := c.fetch(t, map[string]any{"confirmed": ids[:1], "release": true})
		assert.Equal(t, 1, got.Confirmed)
		assert.Empty(t, got.Messages)
		requireRefused(t, c.invoke(t, "connect.fetch", c.request(nil)), 409, taken)

		c, answer := srv.subscribeByName(t, map[string]any{"if_idle": 30})
		assert.Zero(t, answer.GivenBack)
		assert.Equal(t, ids[1:], c.fetch(t, nil).ids())
	})
}

func TestReturnedMessagesAreHandedOutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		ids := srv.publishMany(t, 3)
		require.Equal(t, ids, c.fetch(t, nil).ids())
		got := c.fetch(t, map[string]any{"confirmed": ids[2:], "returned": append(ids[1:], "no such")})
		assert.Equal(t, ids[1:2], got.ids(), "a confirmed message is not returned")
		assert.Equal(t, []int{2}, got.counts())
		assert.Empty(t, c.fetch(t, map[string]any{"renewed": ids, "wait": 3600}).ids(), "there is no lease")
	})
}

func TestSharedSubscriptionHandsOutOnALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		shared := map[string]any{"shared": true}
		a, answer := srv.subscribeByName(t, shared)
		assert.Nil(t, answer.Holder)
		b, answer := srv.subscribeByName(t, shared)
		assert.Equal(t, subscribed{SubKey: a.subKey}, answer)
		ids := srv.publishMany(t, 4)
		require.Equal(t, ids[:2], a.fetch(t, map[string]any{"max": 2, "lease": 10}).ids())
		require.Equal(t, ids[2:], b.fetch(t, map[string]any{"lease": 10}).ids())

		<-time.After(6 * time.Second)
		b.fetch(t, map[string]any{"max": 0, "renewed": ids[3:], "lease": 10})
		began := time.Now()
		got := b.fetch(t, map[string]any{"wait": 20, "lease": 60, "confirmed": ids[2:3]})
		assert.Equal(t, ids[:2], got.ids(), "their lease is over")
		assert.Equal(t, []int{2, 2}, got.counts())
		assert.Equal(t, 4*time.Second, time.Since(began))
		got = a.fetch(t, map[string]any{"wait": 20})
		assert.Equal(t, ids[3:], got.ids(), "its lease was renewed")
		assert.Equal(t, 10*time.Second, time.Since(began))
		assert.Equal(t, ids[:1], a.fetch(t, map[string]any{"returned": ids[:1]}).ids(), "any consumer may return it")
		assert.Equal(t, 3, a.fetch(t, map[string]any{"confirmed": ids}).Confirmed)
	})
}

func TestFetchWaitsForAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		began := time.Now()
		id := c.sendInvocation(t, "connect.fetch", c.request(map[string]any{"wait": 20}))
		<-time.After(7 * time.Second)
		published := srv.publishMany(t, 1)
		f := c.frame(t)
		require.Equal(t, id, f.Meta.InReplyTo)
		var got fetched
		companionResult(t, f, &got)
		assert.Equal(t, published, got.ids())
		assert.Equal(t, 7*time.Second, time.Since(began))

		assert.Empty(t, c.fetch(t, map[string]any{"wait": 3600}).ids())
		assert.Equal(t, 27*time.Second, time.Since(began), "20 s is the longest")
	})
}

func TestFetchDoesNotOutlastThePings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t, wsxtest.WithChannel(wsxtest.Channel{
			Path: "/short", Username: "user1", Secret: "secret1", Gateway: wsxtest.Connect, PingInterval: 2 * time.Second,
		}))
		c := &consumer{peer: srv.connect(t, "/short")}
		c.subscribeAgain(t, nil)
		began := time.Now()
		c.sendInvocation(t, "connect.fetch", c.request(map[string]any{"wait": 20}))
		for c.next(t).kind != "text" { // a ping
		}
		assert.Equal(t, 5*time.Second, time.Since(began))
		srv.publishMany(t, 1)
		synctest.Wait()
		assert.Equal(t, 1, srv.Connections())
	})
}

func TestMaxBytesBoundsAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		var ids []string
		for range 3 {
			ids = append(ids, publish(t, srv, "/my/topic.gd", string(make([]byte, 1000)), wsxtest.PublishOptions{}))
		}
		whole := c.fetch(t, map[string]any{"max_bytes": 1_000_000})
		require.Equal(t, ids, whole.ids())
		c.subscribeAgain(t, nil)
		assert.Equal(t, ids[:2], c.fetch(t, map[string]any{"max_bytes": 15_000}).ids())
		assert.Equal(t, ids[2:], c.fetch(t, map[string]any{"max_bytes": 7_000}).ids())
		c.subscribeAgain(t, nil)
		f := c.invoke(t, "connect.fetch", c.request(map[string]any{"max_bytes": 3000}))
		assert.Equal(t, 413, f.Meta.Status)
		assert.Contains(t, f.Meta.ErrorMessage, ids[0])
		assert.Regexp(t, `has 6\d{3} bytes`, f.Meta.ErrorMessage)
		assert.Equal(t, []int{3, 3, 3}, c.fetch(t, nil).counts(), "nothing was handed out")
	})
}

func TestExpiredMessagesAreNotHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		short := publish(t, srv, "/my/topic.gd", "short", wsxtest.PublishOptions{Expiration: 60})
		publish(t, srv, "/my/topic.gd", "shorter", wsxtest.PublishOptions{Expiration: 30})
		<-time.After(30 * time.Second)
		require.Equal(t, []string{short}, c.fetch(t, nil).ids())
		<-time.After(30 * time.Second)
		got := c.subscribeAgain(t, nil)
		assert.Equal(t, 1, got.GivenBack)
		assert.Empty(t, c.fetch(t, nil).ids())
	})
}

func TestMessagesInMemoryAreFetchedAndSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, map[string]any{"topic_name": "/my/topic"})
		pushed := srv.connect(t, connectPath)
		pushed.subscribe(t, "/my/topic", nil)
		id := publish(t, srv, "/my/topic", "x", wsxtest.PublishOptions{})
		assert.Equal(t, id, pushed.messages(t)[0].MsgID)
		srv.Stop()
		require.NoError(t, srv.Restart())
		c.peer = srv.connect(t, connectPath)
		assert.Equal(t, []string{id}, c.fetch(t, nil).ids())
	})
}

func TestFetchThatWaitsEndsWhenTheClientSendsSomethingOrClosesItsSide(t *testing.T) {
	for name, act := range map[string]func(*testing.T, *consumer){
		"ping": func(t *testing.T, c *consumer) {
			t.Helper()
			require.NoError(t, c.ws.WriteControl(websocket.PingMessage, nil, time.Time{}))
		},
		"another call": func(t *testing.T, c *consumer) {
			t.Helper()
			c.sendInvocation(t, "zato.ping", nil)
		},
		"close of its side": func(t *testing.T, c *consumer) {
			t.Helper()
			half, ok := c.ws.NetConn().(interface{ CloseWrite() error })
			require.True(t, ok)
			require.NoError(t, half.CloseWrite())
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := startConnectServer(t)
			c, _ := srv.subscribeByName(t, nil)
			for range 2 { // what ends the first fetch does not end the second one
				id := c.sendInvocation(t, "connect.fetch", c.request(map[string]any{"wait": 20}))
				<-time.After(time.Second)
				began := time.Now()
				act(t, c)
				assert.Equal(t, id, c.frame(t).Meta.InReplyTo, name)
				assert.Equal(t, began, time.Now(), name)
				if c.next(t).kind == "eof" {
					break
				}
			}
		})
	}
}

func TestFetchOfAClientThatIsGoneTakesNothing(t *testing.T) {
	for name, cut := range map[string]func(*testServer, *consumer){
		"the server cuts the connection":   func(srv *testServer, _ *consumer) { srv.Cut() },
		"the client closes the connection": func(_ *testServer, c *consumer) { _ = c.ws.NetConn().Close() },
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := startConnectServer(t)
			former, _ := srv.subscribeByName(t, nil)
			former.sendInvocation(t, "connect.fetch", former.request(map[string]any{"wait": 20}))
			synctest.Wait()
			cut(srv, former)
			synctest.Wait()
			srv.publishMany(t, 1)
			synctest.Wait()
			assert.Empty(t, srv.Delivered(), name)
			latter, answer := srv.subscribeByName(t, nil)
			assert.Zero(t, answer.GivenBack, name)
			assert.Equal(t, []int{1}, latter.fetch(t, nil).counts(), name)
		})
	}
}

func TestSubscriptionChangesBetweenSharedAndExclusive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		ids := srv.publishMany(t, 1)
		require.Equal(t, ids, c.fetch(t, nil).ids())
		former := c.request(nil)
		c.subscribeAgain(t, map[string]any{"shared": true})
		assert.Equal(t, ids, c.fetch(t, nil).ids(), "what had no lease comes at once")
		requireRefused(t, c.invoke(t, "connect.fetch", former), 409, taken)
		assert.False(t, c.mayTakeOver(t, map[string]any{"if_idle": 1}), "a shared subscription is in use")
		assert.Equal(t, 1, c.subscribeAgain(t, nil).GivenBack)
	})
}

func TestAnswersOfFetchesAreLostOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		srv.CutAfterFetch(1)
		assert.Empty(t, c.fetch(t, nil).ids(), "an answer without messages is sent")
		srv.publishMany(t, 2)
		c.sendInvocation(t, "connect.fetch", c.request(nil))
		assert.Equal(t, "eof", c.next(t).kind)
		c, answer := srv.subscribeByName(t, nil)
		assert.Equal(t, 2, answer.GivenBack)
		assert.Equal(t, []int{2, 2}, c.fetch(t, nil).counts())
	})
}
