package conformance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

const (
	servicePublish     = "zato.pubsub.pubapi.publish-message"
	serviceSubscribe   = "zato.pubsub.pubapi.subscribe-wsx"
	serviceCreate      = "zato.pubsub.subscription.create-wsx-subscription"
	serviceResume      = "zato.pubsub.resume-wsx-subscription"
	serviceUnsubscribe = "zato.pubsub.pubapi.unsubscribe"
	serviceDelivery    = "zato.pubsub.delivery.get-server-pid-for-sub-key"
)

// publications are the behaviours of publishing and of what subscribers get.
func publications() map[string]behaviour {
	return map[string]behaviour{
		"a published message arrives with its metadata":      {run: publishedMessageArrives},
		"a message has defaults":                             {run: messageHasDefaults},
		"a message without a correl_id gets the answer's id": {run: correlIDIsTheAnswersID},
		"published objects arrive in Python notation":        {run: objectsArriveAsPython},
		"a large message arrives":                            {run: largeMessageArrives},
		"every subscriber gets every message":                {run: everySubscriberGetsTheMessage},
		"a lone message is an object under its own id":       {run: loneMessageIsAnObject},
		"invalid publications are refused":                   {run: badPublicationsAreRefused},
		"the right to publish shows without publishing":      {run: rightShowsWithoutPublishing},
		"a priority of zero or in digits is accepted":        {run: lenientPublicationsAreAccepted},
		"an expiration is at most a day":                     {run: expirationIsLimited},
		"queued messages arrive in the order of priority":    {durable, messagesArriveByPriority},
		"a backlog arrives in lists of at most 500":          {durable, backlogArrivesInLists},
	}
}

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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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
		{"priority 10", map[string]any{"topic_name": topicPlain, "data": "x", "priority": 10}, 400},
		{"priority -1", map[string]any{"topic_name": topicPlain, "data": "x", "priority": -1}, 400},
		{"expiration -1", map[string]any{"topic_name": topicPlain, "data": "x", "expiration": -1}, 400},
		{"has_gd in words", map[string]any{"topic_name": topicPlain, "data": "x", "has_gd": "maybe"}, 500},
		{"forbidden topic", map[string]any{"topic_name": topicForbidden, "data": "x"}, 403},
		{"expiration in words", map[string]any{"topic_name": topicPlain, "data": "x", "expiration": "soon"}, 500},
	} {
		_, err := c.Invoke(t.Context(), servicePublish, p.request)
		assert.Equal(t, p.status, serverError(t, err).Status, p.name)
	}
}

func messagesArriveByPriority(t *testing.T, tgt testTarget) {
	t.Helper()
	var order []string
	for _, m := range receiveAfterReconnect(t, tgt, topicGuaranteed, []int{5, 9, 1, 5, 7}) {
		order = append(order, string(m.Data[len(m.Data)-1]))
	}
	assert.Equal(t, []string{"1", "4", "0", "3", "2"}, order)
}

// messageHasDefaults publishes with nothing but a topic and a text.
func messageHasDefaults(t *testing.T, tgt testTarget) {
	t.Helper()
	sub := tgt.subscriber(t, topicPlain)
	id, err := tgt.client(t).Publish(t.Context(), wsx.Publication{Topic: topicPlain, Data: "x"})
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(id, "zpsm"), id)
	m := receive(t, sub, 1, func(m wsx.Message) bool { return m.MsgID == id })[0]
	assert.Equal(t, 5, m.Priority)
	assert.Equal(t, int64(86400), m.Expiration)
	assert.Empty(t, m.InReplyTo)
	assert.NotEmpty(t, m.ExpirationTime)
}

func correlIDIsTheAnswersID(t *testing.T, tgt testTarget) {
	t.Helper()
	sub, p := tgt.subscriber(t, topicPlain), tgt.peer(t)
	var published struct {
		MsgID string `json:"msg_id"`
	}
	answer := p.call(t, servicePublish, fields{"topic_name": topicPlain, "data": "x"}, &published)
	m := receive(t, sub, 1, func(m wsx.Message) bool { return m.MsgID == published.MsgID })[0]
	assert.Equal(t, answer.Meta.ID, m.CorrelID)
}

func largeMessageArrives(t *testing.T, tgt testTarget) {
	t.Helper()
	sub := tgt.subscriber(t, topicGuaranteed)
	text := strings.Repeat("żółć\x00", 1<<17)
	id, err := tgt.client(t).Publish(t.Context(), wsx.Publication{Topic: topicGuaranteed, Data: text})
	require.NoError(t, err)
	m := receive(t, sub, 1, func(m wsx.Message) bool { return m.MsgID == id })[0]
	same := text == string(m.Data) // not assert.Equal, which would print both
	assert.True(t, same, "%d bytes came as %d", len(text), len(m.Data))
}

func everySubscriberGetsTheMessage(t *testing.T, tgt testTarget) {
	t.Helper()
	a, b := tgt.subscriber(t, topicPlain), tgt.subscriber(t, topicPlain)
	id := tgt.publish(t, topicPlain, 5)[0]
	for _, sub := range []*wsx.Client{a, b} {
		receive(t, sub, 1, func(m wsx.Message) bool { return m.MsgID == id })
	}
}

// loneMessageIsAnObject waits for a message that comes alone. Other tests publish to the
// topic meanwhile, so it may take some.
func loneMessageIsAnObject(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	key := p.subscribe(t, serviceCreate, fields{"topic_name": topicGuaranteed})
	for range 50 {
		tgt.publish(t, topicGuaranteed, 5)
		got := p.nextMessages(t)
		if got.Data[0] == '[' {
			continue
		}
		var m struct {
			MsgID     string `json:"msg_id"`
			SubKey    string `json:"sub_key"`
			TopicName string `json:"topic_name"`
		}
		require.NoError(t, json.Unmarshal(got.Data, &m))
		assert.Equal(t, got.Meta.ID, m.MsgID)
		assert.Equal(t, key, m.SubKey)
		assert.Equal(t, topicGuaranteed, m.TopicName)
		return
	}
	require.FailNow(t, "no message came alone")
}

func rightShowsWithoutPublishing(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.client(t)
	require.NoError(t, c.CheckPublish(t.Context(), topicPlain))
	for _, topic := range []string{topicForbidden, topicUnknown} {
		requireError(t, c.CheckPublish(t.Context(), topic), 403, "")
	}
}

// publishTo publishes a message with more fields, and returns what a subscriber gets.
func (p *peer) publishTo(t *testing.T, sub *wsx.Client, more fields) wsx.Message {
	t.Helper()
	var published struct {
		MsgID string `json:"msg_id"`
	}
	p.call(t, servicePublish, with(fields{"topic_name": topicPlain, "data": "x"}, more), &published)
	return receive(t, sub, 1, func(m wsx.Message) bool { return m.MsgID == published.MsgID })[0]
}

func lenientPublicationsAreAccepted(t *testing.T, tgt testTarget) {
	t.Helper()
	sub, p := tgt.subscriber(t, topicPlain), tgt.peer(t)
	for _, lenient := range []struct {
		priority any
		expected int
	}{{"7", 7}, {0, 5}, {nil, 5}, {7.9, 7}, {true, 1}} {
		m := p.publishTo(t, sub, fields{"priority": lenient.priority})
		assert.Equal(t, lenient.expected, m.Priority, lenient.priority)
	}
}

func expirationIsLimited(t *testing.T, tgt testTarget) {
	t.Helper()
	sub, p := tgt.subscriber(t, topicPlain), tgt.peer(t)
	for _, limited := range []struct {
		expiration any
		expected   int64
	}{{100_000, 86400}, {0, 86400}, {60, 60}} {
		m := p.publishTo(t, sub, fields{"expiration": limited.expiration})
		assert.Equal(t, limited.expected, m.Expiration, limited.expiration)
	}
}

// backlogArrivesInLists queues more than a frame holds.
func backlogArrivesInLists(t *testing.T, tgt testTarget) {
	t.Helper()
	first := tgt.peer(t)
	key := first.subscribe(t, serviceSubscribe, fields{"topic_name": topicGuaranteed, "unsub_on_wsx_close": false})
	require.NoError(t, first.ws.Close())
	ids := tgt.publish(t, topicGuaranteed, slices.Repeat([]int{5}, 510)...)
	p := tgt.peer(t)
	resume, resumed := p.invoke(t, serviceResume, fields{"sub_key": key}), false
	var got []string
	largest := 0
	for len(got) < len(ids) || !resumed { // the answer can be the last frame
		frame := p.next(t)
		if frame.Meta.MsgType != typeMessages {
			require.Equal(t, resume, frame.Meta.InReplyTo)
			resumed = true
			continue
		}
		list := frame.messages(t)
		largest = max(largest, len(list))
		for _, m := range list {
			if slices.Contains(ids, m.MsgID) && !slices.Contains(got, m.MsgID) {
				got = append(got, m.MsgID)
			}
		}
	}
	assert.Equal(t, ids, got)
	assert.Equal(t, 500, largest)
	p.await(t, p.invoke(t, serviceUnsubscribe, fields{"sub_key": key, "topic_name": topicGuaranteed}))
}
