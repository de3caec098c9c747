package conformance_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// subscriptions are the behaviours of subscriptions whose messages are pushed.
func subscriptions() map[string]behaviour {
	return map[string]behaviour{
		"each subscription has a key of its own":                {run: keysAreDifferent},
		"a subscription to an unknown topic is refused":         {run: unknownTopicIsRefused},
		"a subscription that names no topic is refused":         {run: subscriptionNeedsATopic},
		"unsubscribing needs the topic and can be repeated":     {run: unsubscribingNeedsTheTopic},
		"unsubscribing from an unknown topic is a 403":          {run: unsubscribingUnknownTopic},
		"after unsubscribing nothing arrives":                   {run: nothingArrivesAfterUnsubscribing},
		"another connection may end a subscription":             {run: anotherConnectionUnsubscribes},
		"a stock gateway has no durable subscriptions":          {stockGateway, stockGatewayHasNoDurableOnes},
		"an unknown key is not resumed":                         {run: unknownKeyIsNotResumed},
		"a durable subscription keeps messages":                 {durable, durableSubscriptionKeepsMessages},
		"a durable subscription keeps messages in memory":       {durable, durableSubscriptionKeepsMemory},
		"a subscription that is not durable ends with its link": {durable, otherSubscriptionEnds},
		"a resume takes a subscription over":                    {durable, resumeTakesOver},
		"a resume of what a connection has is repeatable":       {durable, resumeIsRepeatable},
		"a key of another endpoint is not resumed":              {durable, otherEndpointMayNotResume},

		// What the companion changes on purpose.
		"without the companion another endpoint's end is a 200":    {pushedOnly, otherEndpointUnsubscribes},
		"with the companion another endpoint's end is a 403":       {withCompanion, otherEndpointUnsubscribes},
		"without the companion the end of a former link deafens":   {pushedOnly, formerConnectionEnds},
		"with the companion the end of a former link does no harm": {withCompanion, formerConnectionEnds},
		"with the companion the first message arrives":             {withCompanion, firstMessageArrives},
		"with the companion a client may ask who delivers":         {withCompanion, clientAsksForDelivery},
	}
}

// subscribe subscribes and returns the key.
func (p *peer) subscribe(t *testing.T, service string, request fields) string {
	t.Helper()
	got := p.await(t, p.invoke(t, service, request))
	require.Equal(t, 200, got.Meta.Status, got.Meta.ErrorMessage)
	var data struct {
		Response struct {
			SubKey  string `json:"sub_key"` // of subscribe-wsx
			Wrapped struct {
				SubKey string `json:"sub_key"`
			} `json:"zato_gateway_response"`
		} `json:"response"`
	}
	require.NoError(t, json.Unmarshal(got.Data, &data))
	key := data.Response.SubKey + data.Response.Wrapped.SubKey
	require.NotEmpty(t, key)
	return key
}

// nextMessages returns the next frame with messages.
func (p *peer) nextMessages(t *testing.T) event {
	t.Helper()
	for {
		got := p.next(t)
		require.Equal(t, kindText, got.kind)
		if got.Meta.MsgType == typeMessages {
			return got
		}
	}
}

type pushedMessage struct {
	MsgID string `json:"msg_id"`
}

// messages returns the messages of a frame.
func (e event) messages(t *testing.T) []pushedMessage {
	t.Helper()
	raw := e.Data
	if raw[0] != '[' {
		raw = json.RawMessage("[" + string(raw) + "]")
	}
	var list []pushedMessage
	require.NoError(t, json.Unmarshal(raw, &list))
	return list
}

// awaitMessage waits for a message.
func (p *peer) awaitMessage(t *testing.T, id string) {
	t.Helper()
	for !slices.Contains(p.nextMessages(t).messages(t), pushedMessage{id}) {
		// Other tests publish to the topic.
	}
}

// hears reports whether a peer gets a message that is published now, within three rounds of
// delivery.
func (p *peer) hears(t *testing.T, tgt testTarget) bool {
	t.Helper()
	id := tgt.publish(t, topicGuaranteed, 5)[0]
	end := p.invoke(t, "my.sleep", fields{"seconds": (3 * tgt.deliveryInterval).Seconds()})
	for heard := false; ; {
		got := p.next(t)
		require.Equal(t, kindText, got.kind)
		if got.Meta.InReplyTo == end {
			return heard
		}
		if got.Meta.MsgType == typeMessages {
			for _, m := range got.messages(t) {
				heard = heard || m.MsgID == id
			}
		}
	}
}

// awaitSilence waits until a peer gets nothing of what is published. The server answers to
// unsubscribing before it forgets the subscription.
func (p *peer) awaitSilence(t *testing.T, tgt testTarget) {
	t.Helper()
	for range 5 {
		if !p.hears(t, tgt) {
			return
		}
	}
	require.FailNow(t, "messages still arrive")
}

// subscribed returns a peer with a subscription to the guaranteed topic from which it has
// heard.
func (tgt testTarget) subscribed(t *testing.T, service string, more fields) (p *peer, key string) {
	t.Helper()
	p = tgt.peer(t)
	key = p.subscribe(t, service, with(fields{"topic_name": topicGuaranteed}, more))
	p.awaitHearing(t, tgt)
	return p, key
}

// awaitHearing waits until a peer gets what is published. The server needs a moment to
// notice a subscription or a resume. Its delivery stops for seconds after it has met
// messages that it cannot order (docs/protocol.md, "Delivery").
func (p *peer) awaitHearing(t *testing.T, tgt testTarget) {
	t.Helper()
	for range 20 {
		if p.hears(t, tgt) {
			return
		}
	}
	require.FailNow(t, "nothing arrives")
}

// durablySubscribed is the same with a durable subscription, which it ends.
func (tgt testTarget) durablySubscribed(t *testing.T) (p *peer, key string) {
	t.Helper()
	p, key = tgt.subscribed(t, serviceSubscribe, fields{"unsub_on_wsx_close": false})
	remover := tgt.client(t)
	t.Cleanup(func() {
		request := fields{"sub_key": key, "topic_name": topicGuaranteed}
		_, _ = remover.Invoke(t.Context(), serviceUnsubscribe, request)
	})
	return p, key
}

func (p *peer) status(t *testing.T, service string, request fields) int {
	t.Helper()
	return p.await(t, p.invoke(t, service, request)).Meta.Status
}

func keysAreDifferent(t *testing.T, tgt testTarget) {
	t.Helper()
	a, b := tgt.peer(t), tgt.peer(t)
	keys := map[string]bool{}
	for _, p := range []*peer{a, a, b} {
		key := p.subscribe(t, serviceCreate, fields{"topic_name": topicPlain})
		assert.True(t, strings.HasPrefix(key, "zpsk.wsx.conformance."), key)
		keys[key] = true
	}
	assert.Len(t, keys, 3)
}

func unknownTopicIsRefused(t *testing.T, tgt testTarget) {
	t.Helper()
	_, err := tgt.client(t).Subscribe(t.Context(), wsx.Subscription{Topic: topicUnknown})
	assert.Contains(t, err.Error(), topicUnknown)
	assert.Equal(t, 404, serverError(t, err).Status)
	_, err = tgt.client(t).Subscribe(t.Context(), wsx.Subscription{Topic: topicForbidden})
	assert.Equal(t, 403, serverError(t, err).Status, "the right comes first")
}

func subscriptionNeedsATopic(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.client(t)
	requireError(t, attempt(t, c, serviceCreate, fields{"x": 1}), 400, "")
	requireError(t, attempt(t, c, serviceCreate, fields{"topic_name": ""}), 400, "")
	requireError(t, attempt(t, c, serviceSubscribe, fields{"x": 1}), 500, "")
	requireError(t, attempt(t, c, serviceResume, fields{"x": 1}), 500, "")
}

func unsubscribingNeedsTheTopic(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.client(t)
	key, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topicPlain})
	require.NoError(t, err)
	_, err = c.Invoke(t.Context(), serviceUnsubscribe, map[string]string{"sub_key": key.Reveal()})
	assert.Equal(t, 500, serverError(t, err).Status)
	require.NoError(t, c.Unsubscribe(t.Context(), topicPlain))
	request := map[string]string{"sub_key": key.Reveal(), "topic_name": topicPlain}
	_, err = c.Invoke(t.Context(), serviceUnsubscribe, request)
	require.NoError(t, err, "repeated")
}

func unsubscribingUnknownTopic(t *testing.T, tgt testTarget) {
	t.Helper()
	p := tgt.peer(t)
	for _, topic := range []string{topicUnknown, topicForbidden} {
		assert.Equal(t, 403, p.status(t, serviceUnsubscribe, fields{"sub_key": "zpsk.wsx.no.such", "topic_name": topic}))
	}
}

func nothingArrivesAfterUnsubscribing(t *testing.T, tgt testTarget) {
	t.Helper()
	p, key := tgt.subscribed(t, serviceCreate, nil)
	require.Equal(t, 200, p.status(t, serviceUnsubscribe, fields{"sub_key": key, "topic_name": topicGuaranteed}))
	p.awaitSilence(t, tgt)
}

func anotherConnectionUnsubscribes(t *testing.T, tgt testTarget) {
	t.Helper()
	p, key := tgt.subscribed(t, serviceCreate, nil)
	request := fields{"sub_key": key, "topic_name": topicGuaranteed}
	require.Equal(t, 200, tgt.peer(t).status(t, serviceUnsubscribe, request))
	p.awaitSilence(t, tgt)
}

func stockGatewayHasNoDurableOnes(t *testing.T, tgt testTarget) {
	t.Helper()
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

func unknownKeyIsNotResumed(t *testing.T, tgt testTarget) {
	t.Helper()
	err := tgt.client(t).Resume(t.Context(), wsx.Subscription{Topic: topicPlain, Key: "zpsk.wsx.no.such"})
	require.ErrorIs(t, err, wsx.ErrResumeFailed)
	assert.Equal(t, 500, serverError(t, err).Status)
}

func durableSubscriptionKeepsMessages(t *testing.T, tgt testTarget) {
	t.Helper()
	assert.Len(t, receiveAfterReconnect(t, tgt, topicGuaranteed, []int{5, 5, 5}), 3)
}

// durableSubscriptionKeepsMemory publishes when the server has noticed the disconnect.
// What it publishes to memory before is lost (docs/protocol.md, "Delivery").
func durableSubscriptionKeepsMemory(t *testing.T, tgt testTarget) {
	t.Helper()
	assert.Len(t, receiveAfterReconnect(t, tgt, topicPlain, []int{5, 5, 5}), 3)
}

// receiveAfterReconnect makes a durable subscription, closes its connection and
// publishes messages with the given priorities. It returns the messages that a new
// connection then receives.
func receiveAfterReconnect(t *testing.T, tgt testTarget, topic string, priorities []int) []wsx.Message {
	t.Helper()
	first := tgt.client(t)
	key, err := first.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
	require.NoError(t, err)
	require.NoError(t, first.Close())
	if topic == topicPlain {
		<-time.After(6 * tgt.deliveryInterval)
	}
	published := map[string]bool{}
	for _, id := range tgt.publish(t, topic, priorities...) {
		published[id] = true
	}
	second := tgt.client(t)
	require.NoError(t, second.Resume(t.Context(), wsx.Subscription{Topic: topic, Key: key}))
	got := receive(t, second, len(priorities), func(m wsx.Message) bool { return published[m.MsgID] })
	require.NoError(t, second.Unsubscribe(t.Context(), topic))
	return got
}

// otherSubscriptionEnds waits before it asks, because a resume that comes before the
// server has noticed the end keeps the subscription.
func otherSubscriptionEnds(t *testing.T, tgt testTarget) {
	t.Helper()
	for _, service := range []string{serviceCreate, serviceSubscribe} {
		p := tgt.peer(t)
		key := p.subscribe(t, service, fields{"topic_name": topicGuaranteed})
		require.NoError(t, p.ws.Close())
		<-time.After(4 * tgt.deliveryInterval)
		assert.Equal(t, 500, tgt.peer(t).status(t, serviceResume, fields{"sub_key": key}), service)
	}
}

func resumeTakesOver(t *testing.T, tgt testTarget) {
	t.Helper()
	first, key := tgt.durablySubscribed(t)
	second := tgt.peer(t)
	require.Equal(t, 200, second.status(t, serviceResume, fields{"sub_key": key}))
	second.awaitHearing(t, tgt)
	assert.False(t, first.hears(t, tgt))
}

func resumeIsRepeatable(t *testing.T, tgt testTarget) {
	t.Helper()
	p, key := tgt.durablySubscribed(t)
	for range 2 {
		require.Equal(t, 200, p.status(t, serviceResume, fields{"sub_key": key}))
	}
	p.awaitHearing(t, tgt)
}

func otherEndpointMayNotResume(t *testing.T, tgt testTarget) {
	t.Helper()
	if tgt.short == nil {
		t.Skip("needs " + shortPings)
	}
	_, key := tgt.durablySubscribed(t)
	assert.Equal(t, 403, tgt.short.peer(t).status(t, serviceResume, fields{"sub_key": key}))
}

// otherEndpointUnsubscribes asks for the end of a subscription that another endpoint
// made. With the companion, the subscription stays. Without it, it may end.
func otherEndpointUnsubscribes(t *testing.T, tgt testTarget) {
	t.Helper()
	if tgt.short == nil {
		t.Skip("needs " + shortPings)
	}
	p, key := tgt.durablySubscribed(t)
	status := 200
	if tgt.has(withCompanion) {
		status = 403
	}
	request := fields{"sub_key": key, "topic_name": topicGuaranteed}
	assert.Equal(t, status, tgt.short.peer(t).status(t, serviceUnsubscribe, request))
	if tgt.has(withCompanion) {
		p.awaitHearing(t, tgt)
	}
}

// formerConnectionEnds ends the connection from which another one took a subscription
// over. Without the companion, the server then forgets the other one too, and only a
// resume makes it hear again.
func formerConnectionEnds(t *testing.T, tgt testTarget) {
	t.Helper()
	first, key := tgt.durablySubscribed(t)
	second := tgt.peer(t)
	request := fields{"sub_key": key}
	require.Equal(t, 200, second.status(t, serviceResume, request))
	second.awaitHearing(t, tgt)
	require.NoError(t, first.ws.Close())
	<-time.After(tgt.deliveryInterval) // the server notices
	if tgt.has(withCompanion) {
		second.awaitHearing(t, tgt)
		return
	}
	assert.False(t, second.hears(t, tgt))
	require.Equal(t, 200, second.status(t, serviceResume, request))
	second.awaitHearing(t, tgt)
}

// firstMessageArrives publishes as soon as a subscription is answered, while the topic
// has another subscriber. Without the companion, such a message may wait for the next.
func firstMessageArrives(t *testing.T, tgt testTarget) {
	t.Helper()
	tgt.subscribed(t, serviceCreate, nil)
	for range 5 {
		p := tgt.peer(t)
		p.subscribe(t, serviceCreate, fields{"topic_name": topicGuaranteed})
		p.awaitMessage(t, tgt.publish(t, topicGuaranteed, 5)[0])
	}
}

// clientAsksForDelivery asks which process of the server delivers a subscription, before
// and after its end. The processes hear of the end a moment later.
func clientAsksForDelivery(t *testing.T, tgt testTarget) {
	t.Helper()
	p, key := tgt.durablySubscribed(t)
	p.awaitHearing(t, tgt)
	request := fields{"sub_key": key, "topic_name": topicGuaranteed}
	assert.Equal(t, 200, p.status(t, serviceDelivery, request))
	require.Equal(t, 200, p.status(t, serviceUnsubscribe, request))
	require.Eventually(t, func() bool { return p.status(t, serviceDelivery, request) == 400 },
		5*time.Second, 20*time.Millisecond)
}
