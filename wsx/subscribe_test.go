package wsx_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

const topic = "/my/topic.gd"

// publish publishes texts as the server itself would, a round of delivery apart.
func (l *lab) publish(texts ...string) {
	l.t.Helper()
	for _, text := range texts {
		_, err := l.Publish(topic, text, wsxtest.PublishOptions{})
		require.NoError(l.t, err)
		pass(600 * time.Millisecond)
	}
}

// subscribed returns a client that has subscribed to the topic.
func (l *lab) subscribed(changes ...func(*wsx.Config)) *wsx.Client {
	l.t.Helper()
	c := l.ready(patched, changes...)
	_, err := c.Subscribe(l.t.Context(), wsx.Subscription{Topic: topic})
	require.NoError(l.t, err)
	return c
}

// receive returns the texts of the next n messages.
func (l *lab) receive(c *wsx.Client, n int) []string {
	l.t.Helper()
	var texts []string
	for len(texts) < n {
		f, err := c.Receive(within(l.t, time.Minute))
		require.NoError(l.t, err)
		for _, m := range f.Messages {
			texts = append(texts, string(m.Data))
		}
	}
	return texts
}

func numbered(prefix string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%s %d", prefix, i))
	}
	return out
}

func TestMessagesArriveWithAllTheirFields(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		key, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic})
		require.NoError(t, err)
		_, err = c.Publish(t.Context(), wsx.Publication{
			Topic: topic, Data: "żółć", Priority: 7, Expiration: 60, CorrelID: "c", InReplyTo: "r",
		})
		require.NoError(t, err)
		f, err := c.Receive(t.Context())
		require.NoError(t, err)
		require.Len(t, f.Messages, 1)
		m := f.Messages[0]
		assert.Equal(t, f.ID, m.MsgID)
		assert.Equal(t, key, m.SubKey)
		assert.NotEmpty(t, m.PubTime)
		assert.NotEmpty(t, m.RecvTime)
		assert.NotEmpty(t, m.ExpirationTime)
		assert.Equal(t, wsx.Message{
			Topic: topic, SubKey: key, MsgID: m.MsgID, CorrelID: "c", InReplyTo: "r", Data: []byte("żółć"), Priority: 7,
			ExtClientID: m.ExtClientID, MimeType: "application/json", Expiration: 60, Size: 8, DeliveryCount: 1,
			PubTime: m.PubTime, RecvTime: m.RecvTime, ExpirationTime: m.ExpirationTime,
		}, m)
	})
}

func TestDataThatIsNoTextArrivesAsItsJSON(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.subscribed()
		_, err := l.Publish(topic, map[string]any{"n": 12345678901234567}, wsxtest.PublishOptions{})
		require.NoError(t, err)
		assert.Equal(t, []string{`{"n":12345678901234567}`}, []string{strings.Join(strings.Fields(l.receive(c, 1)[0]), "")})
	})
}

func TestSubscriptionsAreCheckedBeforeTheyAreSent(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{})
		require.ErrorIs(t, err, wsx.ErrInvalid)
		require.ErrorIs(t, c.Resume(t.Context(), wsx.Subscription{Topic: topic}), wsx.ErrInvalid)
		_, err = c.Subscribe(t.Context(), wsx.Subscription{Topic: topic})
		require.NoError(t, err)
		_, err = c.Subscribe(t.Context(), wsx.Subscription{Topic: topic})
		require.ErrorContains(t, err, "every message would come twice")
		_, err = c.Subscribe(t.Context(), wsx.Subscription{Topic: "/no/such"})
		require.ErrorIs(t, err, wsx.ErrSubscribeFailed)
		require.ErrorContains(t, err, "/no/such")
		require.NoError(t, c.Unsubscribe(t.Context(), "/never/subscribed"))
	})
}

func TestDurableSubscriptionIsResumedWithItsQueue(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		for round := range 5 {
			pass(2 * time.Second)
			l.Stop()
			synctest.Wait()
			expected := numbered(fmt.Sprint("round ", round), 3)
			l.publish(expected...)
			require.NoError(t, l.Restart())
			assert.Equal(t, expected, l.receive(c, 3))
		}
		assert.Len(t, l.Subscriptions(), 1)
		assert.NotContains(t, l.log.String(), "subscribing again")
	})
}

func TestSubscriptionThatIsNotDurableIsMadeAnewWithAWarning(t *testing.T) {
	for _, path := range []string{patched, stock} {
		inLab(t, func(l *lab) {
			t := l.t
			c := l.ready(path)
			first, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic})
			require.NoError(t, err)
			pass(2 * time.Second)
			l.Cut()
			synctest.Wait()
			require.NoError(t, c.AwaitReady(t.Context()))
			assert.NotEqual(t, first, c.Subscriptions()[0].Key)
			assert.Contains(t, l.log.String(), "messages published meanwhile may be lost")
			l.publish("after")
			assert.Equal(t, []string{"after"}, l.receive(c, 1))
			assert.Len(t, l.Subscriptions(), 1)
		})
	}
}

func TestStockGatewayIsToldOfOnceAndWorks(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(stock)
		for _, name := range []string{topic, "/my/topic"} {
			_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: name, Durable: true})
			require.NoError(t, err)
		}
		assert.Equal(t, 1, strings.Count(l.log.String(), "cannot make durable subscriptions"))
		assert.False(t, c.Subscriptions()[0].Durable)
		l.publish("one")
		assert.Equal(t, []string{"one"}, l.receive(c, 1))
	})
}

func TestResumeFailsWhereTheServerDoesNotKnowTheKey(t *testing.T) {
	for _, path := range []string{patched, stock} {
		inLab(t, func(l *lab) {
			t := l.t
			c := l.ready(path)
			err := c.Resume(t.Context(), wsx.Subscription{Topic: topic, Key: "zpsk.wsx.no.such"})
			require.ErrorIs(t, err, wsx.ErrResumeFailed)
			assert.NotContains(t, err.Error(), "zpsk")

			key, err := c.SubscribeOrResume(t.Context(), wsx.Subscription{Topic: topic, Key: "zpsk.wsx.no.such"})
			require.NoError(t, err)
			assert.NotEqual(t, wsx.SubKey("zpsk.wsx.no.such"), key)
			assert.Contains(t, l.log.String(), "could not be resumed")
		})
	}
}

func TestKeyOfAnEarlierClientIsResumed(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		first := l.ready(patched)
		key, err := first.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		require.NoError(t, first.Close())
		pass(time.Second)
		l.publish("kept")
		second := l.ready(patched)
		got, err := second.SubscribeOrResume(t.Context(), wsx.Subscription{Topic: topic, Key: key})
		require.NoError(t, err)
		assert.Equal(t, key, got)
		assert.Equal(t, []string{"kept"}, l.receive(second, 1))
		pass(2 * time.Second)
		l.Cut()
		synctest.Wait()
		require.NoError(t, second.AwaitReady(t.Context()))
		assert.Equal(t, key, second.Subscriptions()[0].Key, "it is known to be durable")
	})
}

func TestSubscriptionThatCannotBeRestoredIsAnErrorOfReady(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		first := l.ready(patched)
		key, err := first.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		c := l.ready(patched)
		require.NoError(t, c.Resume(t.Context(), wsx.Subscription{Topic: topic, Key: key}))
		require.NoError(t, first.Unsubscribe(t.Context(), topic))
		pass(2 * time.Second)
		l.Cut()
		pass(2 * time.Second)
		err = c.AwaitReady(t.Context())
		require.ErrorIs(t, err, wsx.ErrResumeFailed)
		require.ErrorContains(t, err, topic)
	})
}

func TestUnsubscribeEndsTheSubscriptionAtTheServer(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		require.NoError(t, c.Unsubscribe(t.Context(), topic))
		assert.Empty(t, l.Subscriptions())
		assert.Empty(t, c.Subscriptions())
		_, err = c.Subscribe(t.Context(), wsx.Subscription{Topic: topic})
		require.NoError(t, err, "and again")
	})
}

func TestPushesThatComeBeforeTheAnswerAreKept(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		first := l.ready(patched)
		key, err := first.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		require.NoError(t, first.Close())
		pass(time.Second)
		for _, text := range numbered("early", 1500) { // three frames, with room for one
			_, err := l.Publish(topic, text, wsxtest.PublishOptions{})
			require.NoError(t, err)
		}
		second := l.ready(patched)
		require.NoError(t, second.Resume(t.Context(), wsx.Subscription{Topic: topic, Key: key}))
		assert.Equal(t, numbered("early", 1500), l.receive(second, 1500))
	}, wsxtest.WithPushBeforeResponse())
}

func TestFullInboxStopsTheReadingAndLosesNothing(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(short)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		var expected []string
		for i := range 100 {
			expected = append(expected, fmt.Sprintf("%d %s", i, strings.Repeat("x", 2000)))
		}
		for _, text := range expected {
			_, err := l.Publish(topic, text, wsxtest.PublishOptions{})
			require.NoError(t, err)
			pass(100 * time.Millisecond)
		}
		pass(5 * time.Minute) // a write that blocks holds back the server's pings too
		assert.Less(t, len(l.Delivered()), 50, "the rest queues at the server")
		got := l.receive(c, len(expected))
		assert.ElementsMatch(t, expected, got)
		assert.Equal(t, 1, l.SessionsOpened())
	})
}

func TestConnectionThatIsClosedWhileNobodyReadsIsReadToItsEnd(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(short)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		l.publish(numbered("before", 5)...)
		pass(5 * time.Minute) // pings are not answered
		l.publish(numbered("after", 3)...)
		assert.Equal(t, append(numbered("before", 5), numbered("after", 3)...), l.receive(c, 8))
		assert.Equal(t, 2, l.SessionsOpened())
		assert.Contains(t, l.log.String(), "4002 Pings missed")
	})
}

func TestFramesThatWereReadCanBeReceivedAfterClose(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.subscribed()
		l.publish("one", "two", "three") // one is in the inbox, the rest in the socket
		require.NoError(t, c.Close())
		assert.Equal(t, []string{"one", "two", "three"}, l.receive(c, 3))
		_, err := c.Receive(t.Context())
		require.ErrorIs(t, err, wsx.ErrClosed)
	})
}

func TestFramesInFlightAreReadToTheEndOfTheStream(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.subscribed()
		l.publish("one", "two", "three")
		l.Disconnect(1001, "Server is shutting down")
		synctest.Wait()
		assert.Equal(t, []string{"one", "two", "three"}, l.receive(c, 3))
	})
}

func TestFramesThatWaitAreReceivedAtOnce(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.subscribed(func(c *wsx.Config) { c.PrefetchCount = 4 })
		assert.Empty(t, c.TryReceive(nil, 3))
		l.publish("one", "two", "three", "four") // each is a frame of its own
		var got []string
		for _, wanted := range []int{0, 3, 3} {
			for _, f := range c.TryReceive(nil, wanted) {
				got = append(got, string(f.Messages[0].Data))
			}
			got = append(got, "end")
		}
		assert.Equal(t, []string{"end", "one", "two", "three", "end", "four", "end"}, got)
	})
}

func TestReceiveEndsWithItsContext(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		_, err := c.Receive(within(t, time.Second))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestReceiveWaitsOverConnectionsThatComeAndGo(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		received := make(chan wsx.Frame)
		go func() {
			defer close(received)
			f, err := c.Receive(t.Context())
			assert.NoError(t, err)
			received <- f
		}()
		for range 3 {
			pass(2 * time.Second)
			l.Stop()
			pass(time.Second)
			require.NoError(t, l.Restart())
		}
		require.NoError(t, c.AwaitReady(t.Context()))
		l.publish("at last")
		assert.Equal(t, "at last", string((<-received).Messages[0].Data))
		<-received
	})
}

func TestOnlySingleMessagesAreRespondedTo(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.subscribed()
		l.publish("alone")
		frame, err := c.Receive(t.Context())
		require.NoError(t, err)
		require.NoError(t, c.Respond(t.Context(), frame, map[string]int{"seen": 1}))
		require.ErrorIs(t, c.Respond(t.Context(), frame, func() {}), wsx.ErrInvalid)
		pass(time.Second)
		require.Len(t, l.Responses(), 1)
		assert.Equal(t, frame.Messages[0].MsgID, l.Responses()[0].InReplyTo)
		assert.JSONEq(t, `{"seen": 1}`, string(l.Responses()[0].Response))

		require.ErrorIs(t, c.Respond(t.Context(), wsx.Frame{Messages: frame.Messages}, 1), wsx.ErrInvalid)
		two := frame
		two.Messages = append(two.Messages, two.Messages...)
		require.ErrorIs(t, c.Respond(t.Context(), two, 1), wsx.ErrInvalid)

		l.Cut()
		pass(5 * time.Second)
		err = c.Respond(t.Context(), frame, 1)
		require.ErrorIs(t, err, wsx.ErrNotConnected)
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		assert.Len(t, l.Responses(), 1)
	})
}

func TestSlowConsumerGetsEveryMessageOfABacklogOnce(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(short) // its server pings every 2 s and closes after 2 misses
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		expected := numbered("message", 10_000)
		for _, text := range expected {
			_, err := l.Publish(topic, text, wsxtest.PublishOptions{})
			require.NoError(t, err)
		}
		pass(5 * time.Minute) // blocked
		var got []string
		for len(got) < len(expected) {
			f, err := c.Receive(within(t, time.Minute))
			require.NoError(t, err)
			for _, m := range f.Messages {
				got = append(got, string(m.Data))
				pass(time.Second)
			}
		}
		assert.Equal(t, expected, got)
		assert.Greater(t, l.SessionsOpened(), 2, "thrown off, and back")
		assert.Contains(t, l.log.String(), "4002 Pings missed")
	})
}
