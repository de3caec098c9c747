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

func TestMessageHasEveryField(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
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

func TestDataThatIsNotTextIsReceivedAsJSON(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connectAndSubscribe()
		_, err := s.Publish(topic, map[string]any{"n": 12345678901234567}, wsxtest.PublishOptions{})
		require.NoError(t, err)
		withoutSpaces := strings.Join(strings.Fields(s.receiveTexts(c, 1)[0]), "")
		assert.Equal(t, []string{`{"n":12345678901234567}`}, []string{withoutSpaces})
	})
}

func TestMessagesAheadOfTheAnswerToAResumeAreReceived(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		key := s.subscribeAndLeave()
		for _, text := range texts("early", 1500) { // three frames; the inbox holds one
			_, err := s.Publish(topic, text, wsxtest.PublishOptions{})
			require.NoError(t, err)
		}
		second := s.connect(patchedPath)
		require.NoError(t, second.Resume(t.Context(), wsx.Subscription{Topic: topic, Key: key}))
		assert.Equal(t, texts("early", 1500), s.receiveTexts(second, 1500))
	}, wsxtest.WithPushBeforeResponse())
}

func TestFullInboxStopsReadingAndLosesNothing(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(shortTokenPath)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		var expected []string
		for i := range 100 {
			expected = append(expected, fmt.Sprintf("%d %s", i, strings.Repeat("x", 2000)))
		}
		for _, text := range expected {
			_, err := s.Publish(topic, text, wsxtest.PublishOptions{})
			require.NoError(t, err)
			advance(100 * time.Millisecond)
		}
		advance(5 * time.Minute) // the server sends no pings while a write blocks
		assert.Less(t, len(s.Delivered()), 50, "the rest stays in the queue at the server")
		got := s.receiveTexts(c, len(expected))
		assert.ElementsMatch(t, expected, got)
		assert.Equal(t, 1, s.SessionsOpened())
	})
}

func TestConnectionThatIsClosedWhileTheInboxIsFullIsReadToItsEnd(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(shortTokenPath)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		s.publishTexts(texts("before", 5)...)
		advance(5 * time.Minute) // the pings of the server stay unread
		s.publishTexts(texts("after", 3)...)
		assert.Equal(t, append(texts("before", 5), texts("after", 3)...), s.receiveTexts(c, 8))
		assert.Equal(t, 2, s.SessionsOpened())
		assert.Contains(t, s.log.String(), "4002 Pings missed")
	})
}

func TestFramesCanBeReceivedAfterClose(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connectAndSubscribe()
		s.publishTexts("one", "two", "three") // one fills the inbox, the rest stays in the socket
		require.NoError(t, c.Close())
		assert.Equal(t, []string{"one", "two", "three"}, s.receiveTexts(c, 3))
		_, err := c.Receive(t.Context())
		require.ErrorIs(t, err, wsx.ErrClosed)
	})
}

func TestFramesInFlightAreReceivedAfterADisconnect(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connectAndSubscribe()
		s.publishTexts("one", "two", "three")
		s.Disconnect(1001, "Server is shutting down")
		synctest.Wait()
		assert.Equal(t, []string{"one", "two", "three"}, s.receiveTexts(c, 3))
	})
}

func TestTryReceiveReturnsTheFramesThatHaveArrived(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connectAndSubscribe(func(cfg *wsx.Config) { cfg.PrefetchCount = 4 })
		assert.Empty(t, c.TryReceive(nil, 3))
		s.publishTexts("one", "two", "three", "four") // each is a frame of its own
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
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		_, err := c.Receive(withTimeout(t, time.Second))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestReceiveWaitsAcrossReconnects(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
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
			advance(2 * time.Second)
			s.Stop()
			advance(time.Second)
			require.NoError(t, s.Restart())
		}
		require.NoError(t, c.AwaitReady(t.Context()))
		s.publishTexts("at last")
		assert.Equal(t, "at last", string((<-received).Messages[0].Data))
		<-received
	})
}

func TestSlowConsumerGetsEveryMessageOnce(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(shortTokenPath)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		expected := texts("message", 10_000)
		for _, text := range expected {
			_, err := s.Publish(topic, text, wsxtest.PublishOptions{})
			require.NoError(t, err)
		}
		advance(5 * time.Minute) // nothing is received
		var got []string
		for len(got) < len(expected) {
			f, err := c.Receive(withTimeout(t, time.Minute))
			require.NoError(t, err)
			for _, m := range f.Messages {
				got = append(got, string(m.Data))
				advance(time.Second)
			}
		}
		assert.Equal(t, expected, got)
		assert.Greater(t, s.SessionsOpened(), 2, "the server disconnects a slow client")
		assert.Contains(t, s.log.String(), "4002 Pings missed")
	})
}
