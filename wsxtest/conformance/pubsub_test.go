package conformance_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

const servicePublish = "zato.pubsub.pubapi.publish-message"

// subscriber returns a client that is subscribed to a topic. The topic may have
// messages of other runs, so every test looks for its own.
//
// A server that has another subscriber loses what is published in memory just after the
// subscription (docs/protocol.md, "Subscriptions"). So the client has received a message
// when subscriber returns.
func (tgt testTarget) subscriber(t *testing.T, topic string) *wsx.Client {
	t.Helper()
	c, pub := tgt.client(t), tgt.client(t)
	_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic})
	require.NoError(t, err)
	for range 20 {
		_, err := pub.Publish(t.Context(), wsx.Publication{Topic: topic, Data: "is anybody there"})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err = c.Receive(ctx)
		cancel()
		if err == nil {
			return c
		}
	}
	require.FailNow(t, "the subscriber of "+topic+" receives nothing")
	return nil
}

// uniqueText returns a text that no other run publishes.
func uniqueText(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("%s %d", t.Name(), time.Now().UnixNano())
}

// receive returns the next n different messages that match.
func receive(t *testing.T, c *wsx.Client, n int, match func(wsx.Message) bool) []wsx.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []wsx.Message
	received := map[string]bool{}
	for len(got) < n {
		f, err := c.Receive(ctx)
		require.NoError(t, err, "received %d of %d messages", len(got), n)
		for _, m := range f.Messages {
			if match(m) && !received[m.MsgID] {
				received[m.MsgID] = true
				got = append(got, m)
			}
		}
	}
	return got
}

func publishedMessageArrives(t *testing.T, tgt testTarget) {
	t.Helper()
	sub, pub := tgt.subscriber(t, topicPlain), tgt.client(t)
	text := uniqueText(t) + " żółć 😀 </tag> \"q\" \\ \n\t"
	id, err := pub.Publish(t.Context(), wsx.Publication{
		Topic: topicPlain, Data: text, Priority: 7, Expiration: 60,
		CorrelID: "c-1", InReplyTo: "r-1", MimeType: "text/csv", ExtClientID: "e-1", MsgID: "own",
	})
	require.NoError(t, err)
	m := receive(t, sub, 1, func(m wsx.Message) bool { return m.MsgID == id })[0]
	assert.Equal(t, text, string(m.Data))
	assert.Equal(t, topicPlain, m.Topic)
	assert.Equal(t, 7, m.Priority)
	assert.Equal(t, int64(60), m.Expiration)
	assert.Equal(t, "c-1", m.CorrelID)
	assert.Equal(t, "r-1", m.InReplyTo)
	assert.Equal(t, 1, m.DeliveryCount)
	assert.NotEmpty(t, m.PubTime)
	assert.NotEqual(t, "own", m.MsgID, "the server makes its own message ids")
	assert.Equal(t, "application/json", m.MimeType, "the server ignores the publisher's")
	assert.NotEqual(t, "e-1", m.ExtClientID, "the server ignores the publisher's")
}

func objectsArriveAsPython(t *testing.T, tgt testTarget) {
	t.Helper()
	sub, pub := tgt.subscriber(t, topicPlain), tgt.client(t)
	text := uniqueText(t)
	_, err := pub.Invoke(t.Context(), servicePublish,
		map[string]any{"topic_name": topicPlain, "data": map[string]any{"k": []any{text, 1}}})
	require.NoError(t, err)
	expected := fmt.Sprintf("{'k': ['%s', 1]}", text)
	receive(t, sub, 1, func(m wsx.Message) bool { return string(m.Data) == expected })
}

func badPublicationsAreRefused(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.client(t)
	for _, p := range []struct {
		name    string
		request map[string]any
		status  int
	}{
		{"no data", map[string]any{"topic_name": topicPlain}, 400},
		{"empty data", map[string]any{"topic_name": topicPlain, "data": ""}, 400},
		{"unknown topic", map[string]any{"topic_name": topicUnknown, "data": "x"}, 403},
		{"no topic", map[string]any{"data": "x"}, 500},
		{"priority 99", map[string]any{"topic_name": topicPlain, "data": "x", "priority": 99}, 400},
		{"priority in words", map[string]any{"topic_name": topicPlain, "data": "x", "priority": "high"}, 500},
		{"expiration in words", map[string]any{"topic_name": topicPlain, "data": "x", "expiration": "soon"}, 500},
	} {
		_, err := c.Invoke(t.Context(), servicePublish, p.request)
		assert.Equal(t, p.status, serverError(t, err).Status, p.name)
	}
}

func messagesArriveByPriority(t *testing.T, tgt testTarget) {
	t.Helper()
	if !tgt.patched {
		// Only messages that were queued without a subscriber certainly arrive in
		// one frame, and a stock gateway keeps none.
		durableSubscriptionKeepsMessages(t, tgt)
		return
	}
	text := uniqueText(t)
	got := receiveAfterReconnect(t, tgt, text, []int{5, 9, 1, 5, 7})
	var order []string
	for _, m := range got {
		order = append(order, string(m.Data))
	}
	assert.Equal(t, []string{text + " 1", text + " 4", text + " 0", text + " 3", text + " 2"}, order)
}

func durableSubscriptionKeepsMessages(t *testing.T, tgt testTarget) {
	t.Helper()
	if tgt.patched {
		assert.Len(t, receiveAfterReconnect(t, tgt, uniqueText(t), []int{5, 5, 5}), 3)
		return
	}
	first := tgt.client(t)
	key, err := first.Subscribe(t.Context(), wsx.Subscription{Topic: topicGuaranteed, Durable: true})
	require.NoError(t, err, "the client falls back to a subscription that is not durable")
	require.False(t, first.Subscriptions()[0].Durable)
	require.NoError(t, first.Close())
	second := tgt.client(t)
	err = second.Resume(t.Context(), wsx.Subscription{Topic: topicGuaranteed, Key: key})
	require.ErrorIs(t, err, wsx.ErrResumeFailed)
	assert.Equal(t, 500, serverError(t, err).Status)
}

// receiveAfterReconnect makes a durable subscription, closes its connection and
// publishes messages with the given priorities. It returns the messages that a new
// connection then receives.
func receiveAfterReconnect(t *testing.T, tgt testTarget, text string, priorities []int) []wsx.Message {
	t.Helper()
	first, pub := tgt.client(t), tgt.client(t)
	key, err := first.Subscribe(t.Context(), wsx.Subscription{Topic: topicGuaranteed, Durable: true})
	require.NoError(t, err)
	require.NoError(t, first.Close())
	guaranteed := true
	published := map[string]bool{}
	for i, priority := range priorities {
		id, err := pub.Publish(t.Context(), wsx.Publication{
			Topic: topicGuaranteed, Data: fmt.Sprintf("%s %d", text, i), Priority: priority, HasGD: &guaranteed,
		})
		require.NoError(t, err)
		published[id] = true
	}
	second := tgt.client(t)
	require.NoError(t, second.Resume(t.Context(), wsx.Subscription{Topic: topicGuaranteed, Key: key}))
	got := receive(t, second, len(priorities), func(m wsx.Message) bool { return published[m.MsgID] })
	require.NoError(t, second.Unsubscribe(t.Context(), topicGuaranteed))
	return got
}

func unknownKeyIsNotResumed(t *testing.T, tgt testTarget) {
	t.Helper()
	err := tgt.client(t).Resume(t.Context(), wsx.Subscription{Topic: topicPlain, Key: "zpsk.wsx.no.such"})
	require.ErrorIs(t, err, wsx.ErrResumeFailed)
	assert.Equal(t, 500, serverError(t, err).Status)
}

func unsubscribingNeedsTheTopic(t *testing.T, tgt testTarget) {
	t.Helper()
	const service = "zato.pubsub.pubapi.unsubscribe"
	c := tgt.client(t)
	key, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topicPlain})
	require.NoError(t, err)
	_, err = c.Invoke(t.Context(), service, map[string]string{"sub_key": key.Reveal()})
	assert.Equal(t, 500, serverError(t, err).Status)
	require.NoError(t, c.Unsubscribe(t.Context(), topicPlain))
	_, err = c.Invoke(t.Context(), service, map[string]string{"sub_key": key.Reveal(), "topic_name": topicPlain})
	require.NoError(t, err, "repeated")
}

func unknownTopicIsRefused(t *testing.T, tgt testTarget) {
	t.Helper()
	_, err := tgt.client(t).Subscribe(t.Context(), wsx.Subscription{Topic: topicUnknown})
	assert.Contains(t, err.Error(), topicUnknown)
	assert.Equal(t, 404, serverError(t, err).Status)
	_, err = tgt.client(t).Subscribe(t.Context(), wsx.Subscription{Topic: topicForbidden})
	assert.Equal(t, 403, serverError(t, err).Status, "the right comes first")
}
