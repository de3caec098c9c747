package wsx_test

import (
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

func TestInvalidSubscriptionIsRefused(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
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
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		for round := range 5 {
			advance(2 * time.Second)
			s.Stop()
			synctest.Wait()
			expected := texts(fmt.Sprint("round ", round), 3)
			s.publishTexts(expected...)
			require.NoError(t, s.Restart())
			assert.Equal(t, expected, s.receiveTexts(c, 3))
		}
		assert.Len(t, s.Subscriptions(), 1)
		assert.NotContains(t, s.log.String(), "subscribed again")
	})
}

func TestReconnectReplacesSubscriptionThatIsNotDurableAndWarns(t *testing.T) {
	for _, path := range []string{patchedPath, stockPath} {
		withServer(t, func(s *testServer) {
			t := s.t
			c := s.connect(path)
			first, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic})
			require.NoError(t, err)
			advance(2 * time.Second)
			s.Cut()
			synctest.Wait()
			require.NoError(t, c.AwaitReady(t.Context()))
			assert.NotEqual(t, first, c.Subscriptions()[0].Key)
			assert.Contains(t, s.log.String(), "messages published meanwhile may be lost")
			s.publishTexts("after")
			assert.Equal(t, []string{"after"}, s.receiveTexts(c, 1))
			assert.Len(t, s.Subscriptions(), 1)
		})
	}
}

func TestStockGatewayIsWarnedAboutOnceAndStillDelivers(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(stockPath)
		for _, name := range []string{topic, "/my/topic"} {
			_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: name, Durable: true})
			require.NoError(t, err)
		}
		assert.Equal(t, 1, strings.Count(s.log.String(), "cannot make durable subscriptions"))
		assert.False(t, c.Subscriptions()[0].Durable)
		s.publishTexts("one")
		assert.Equal(t, []string{"one"}, s.receiveTexts(c, 1))
	})
}

func TestResumeFailsIfTheServerDoesNotKnowTheKey(t *testing.T) {
	for _, path := range []string{patchedPath, stockPath} {
		withServer(t, func(s *testServer) {
			t := s.t
			c := s.connect(path)
			err := c.Resume(t.Context(), wsx.Subscription{Topic: topic, Key: "zpsk.wsx.no.such"})
			require.ErrorIs(t, err, wsx.ErrResumeFailed)
			assert.NotContains(t, err.Error(), "zpsk")

			key, err := c.SubscribeOrResume(t.Context(), wsx.Subscription{Topic: topic, Key: "zpsk.wsx.no.such"})
			require.NoError(t, err)
			assert.NotEqual(t, wsx.SubKey("zpsk.wsx.no.such"), key)
			assert.Contains(t, s.log.String(), "could not be resumed")
		})
	}
}

func TestKeyOfAnotherClientIsResumed(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		key := s.subscribeAndLeave()
		s.publishTexts("queued")
		second := s.connect(patchedPath)
		got, err := second.SubscribeOrResume(t.Context(), wsx.Subscription{Topic: topic, Key: key})
		require.NoError(t, err)
		assert.Equal(t, key, got)
		assert.Equal(t, []string{"queued"}, s.receiveTexts(second, 1))
		advance(2 * time.Second)
		s.Cut()
		synctest.Wait()
		require.NoError(t, second.AwaitReady(t.Context()))
		assert.Equal(t, key, second.Subscriptions()[0].Key, "a resumed subscription is durable")
	})
}

func TestAwaitReadyFailsIfASubscriptionCannotBeRestored(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		first := s.connect(patchedPath)
		key, err := first.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		c := s.connect(patchedPath)
		require.NoError(t, c.Resume(t.Context(), wsx.Subscription{Topic: topic, Key: key}))
		require.NoError(t, first.Unsubscribe(t.Context(), topic))
		advance(2 * time.Second)
		s.Cut()
		advance(2 * time.Second)
		err = c.AwaitReady(t.Context())
		require.ErrorIs(t, err, wsx.ErrResumeFailed)
		require.ErrorContains(t, err, topic)

		advance(5 * time.Minute)
		assert.Equal(t, 1, strings.Count(s.log.String(), "level=ERROR"), "each answer has another cid:\n%s", s.log.String())
	})
}

func TestFramesOfASessionThatFailsToResubscribeAreReceived(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		first, second := s.connect(patchedPath), s.connect(patchedPath)
		for _, name := range []string{topic, "/my/topic"} {
			key, err := first.Subscribe(t.Context(), wsx.Subscription{Topic: name, Durable: true})
			require.NoError(t, err)
			require.NoError(t, second.Resume(t.Context(), wsx.Subscription{Topic: name, Key: key}))
		}
		require.NoError(t, first.Unsubscribe(t.Context(), "/my/topic"))
		require.NoError(t, first.Close())
		s.Stop()
		s.publishTexts("queued")
		require.NoError(t, s.Restart())
		// The server pushes the message as soon as the first topic is resumed. The second
		// topic cannot be resumed.
		assert.Equal(t, []string{"queued"}, s.receiveTexts(second, 1))
		synctest.Wait()
		state, err := second.State()
		assert.Equal(t, wsx.Waiting, state)
		require.ErrorIs(t, err, wsx.ErrResumeFailed)
	}, wsxtest.WithPushBeforeResponse())
}

func TestUnsubscribeDeletesTheSubscriptionAtTheServer(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		require.NoError(t, c.Unsubscribe(t.Context(), topic))
		assert.Empty(t, s.Subscriptions())
		assert.Empty(t, c.Subscriptions())
		_, err = c.Subscribe(t.Context(), wsx.Subscription{Topic: topic})
		require.NoError(t, err, "the topic can be subscribed to again")
	})
}

func TestRespondNeedsAFrameWithOneMessageAndItsConnection(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connectAndSubscribe()
		s.publishTexts("alone")
		frame, err := c.Receive(t.Context())
		require.NoError(t, err)
		require.NoError(t, c.Respond(t.Context(), frame, map[string]int{"read": 1}))
		require.ErrorIs(t, c.Respond(t.Context(), frame, func() {}), wsx.ErrInvalid)
		advance(time.Second)
		require.Len(t, s.Responses(), 1)
		assert.Equal(t, frame.Messages[0].MsgID, s.Responses()[0].InReplyTo)
		assert.JSONEq(t, `{"read": 1}`, string(s.Responses()[0].Response))

		require.ErrorIs(t, c.Respond(t.Context(), wsx.Frame{Messages: frame.Messages}, 1), wsx.ErrInvalid)
		two := frame
		two.Messages = append(two.Messages, two.Messages...)
		require.ErrorIs(t, c.Respond(t.Context(), two, 1), wsx.ErrInvalid)

		s.Cut()
		advance(5 * time.Second)
		err = c.Respond(t.Context(), frame, 1)
		require.ErrorIs(t, err, wsx.ErrNotConnected)
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		assert.Len(t, s.Responses(), 1)
	})
}
