package conformance_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

func messagesAreFetchedUntilConfirmed(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	ids := tgt.publish(t, topicGuaranteed, 5, 9, 1, 5)
	inOrder := []string{ids[1], ids[0], ids[3], ids[2]}
	got := c.own(t, ids, nil)
	assert.Equal(t, inOrder, got.ids())
	assert.Equal(t, []int{1, 1, 1, 1}, got.counts())
	assert.Empty(t, c.own(t, ids, fields{"wait": 0.5}).ids(), "handed out twice")

	again := tgt.another(t, c, nil)
	assert.GreaterOrEqual(t, again.GivenBack, 4)
	got = again.own(t, inOrder[1:], fields{"confirmed": []string{ids[1], "no such"}})
	assert.Equal(t, 1, got.Confirmed)
	assert.Equal(t, inOrder[1:], got.ids())
	assert.Equal(t, []int{2, 2, 2}, got.counts())
	last := again.fetch(t, fields{"confirmed": append(ids, "no such"), "max": 0})
	assert.Equal(t, 3, last.Confirmed)
	assert.Empty(t, last.Messages)
	tgt.another(t, c, nil)
	assert.Empty(t, tgt.another(t, c, nil).own(t, ids, fields{"wait": 0.5}).ids())
}

func fetchedMessageHasMetadata(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	text := uniqueText(t) + " żółć 😀 </tag> \"q\" \\ \n\t"
	id, err := tgt.client(t).Publish(t.Context(), wsx.Publication{
		Topic: topicGuaranteed, Data: text, Priority: 7, Expiration: 60, CorrelID: "c-1", InReplyTo: "r-1",
	})
	require.NoError(t, err)
	got := c.own(t, []string{id}, nil)
	require.Len(t, got.Messages, 1)
	m := got.Messages[0]
	var data string
	require.NoError(t, json.Unmarshal(m.Data, &data))
	assert.Equal(t, text, data)
	assert.Equal(t, 7, m.Priority)
	assert.Equal(t, "c-1", m.CorrelID)
	require.NotNil(t, m.InReplyTo)
	assert.Equal(t, "r-1", *m.InReplyTo)
	assert.Equal(t, int64(60), m.Expiration)
	assert.Equal(t, "application/json", m.MimeType)
	assert.Nil(t, m.ExtPubTime)
	var published, expires float64
	require.NoError(t, json.Unmarshal([]byte(m.PubTime), &published))
	require.NoError(t, json.Unmarshal([]byte(m.ExpirationTime), &expires))
	assert.InDelta(t, 60, expires-published, 0.001)
	assert.InDelta(t, time.Now().Unix(), published, 60)
}

func lastSubscriberHasTheSubscription(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	ids := tgt.publish(t, topicGuaranteed, 5, 5)
	require.Equal(t, ids, c.own(t, ids, nil).ids())
	waiting := make(chan error, 1)
	go func() {
		for {
			_, err := c.Invoke(t.Context(), "connect.fetch", c.request(fields{"wait": 20}))
			if err != nil {
				waiting <- err
				return
			}
		}
	}()
	next := tgt.another(t, c, nil)
	serverErr := serverError(t, <-waiting)
	assert.Equal(t, 409, serverErr.Status)
	assert.Equal(t, takenOver, serverErr.Text)
	late := c.request(fields{"confirmed": ids[:1], "returned": ids[1:], "release": true})
	requireError(t, attempt(t, c.Client, "connect.fetch", late), 409, takenOver)
	requireError(t, attempt(t, c.Client, "connect.fetch", c.request(fields{"holder": nil})), 409, takenOver)
	assert.Equal(t, ids[1:], next.own(t, ids, nil).ids(), "a late confirmation counts")
}

func fetchWaits(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	pub := tgt.client(t)
	c.own(t, []string{"none"}, fields{"wait": 0.5})
	text := uniqueText(t)
	published := make(chan struct{})
	defer func() { <-published }()
	go func() {
		defer close(published)
		<-time.After(300 * time.Millisecond)
		_, err := pub.Publish(t.Context(), wsx.Publication{Topic: topicGuaranteed, Data: text})
		assert.NoError(t, err)
	}()
	for {
		got := c.fetch(t, fields{"wait": 18})
		require.NotEmpty(t, got.Messages, "the fetch was not woken")
		for _, m := range got.Messages {
			var data string
			require.NoError(t, json.Unmarshal(m.Data, &data))
			if data == text {
				return
			}
		}
	}
}

func returnedMessageComesAgain(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	ids := tgt.publish(t, topicGuaranteed, 5, 5, 5)
	require.Equal(t, ids, c.own(t, ids, nil).ids())
	got := c.own(t, ids[1:2], fields{"confirmed": ids[:1], "returned": ids[:2]})
	assert.Equal(t, ids[1:2], got.ids())
	assert.Equal(t, []int{2}, got.counts())
}

func standByTakesOver(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	ids := tgt.publish(t, topicGuaranteed, 5, 5)
	require.Equal(t, ids, c.own(t, ids, nil).ids())
	requireError(t, attempt(t, tgt.client(t), "connect.subscribe", c.named(fields{"if_idle": 30})), 409, takenOver)
	got := c.fetch(t, fields{"confirmed": ids[:1], "release": true})
	assert.Equal(t, 1, got.Confirmed)
	assert.Empty(t, got.Messages)
	requireError(t, attempt(t, c.Client, "connect.fetch", c.request(nil)), 409, takenOver)
	standBy := tgt.another(t, c, fields{"if_idle": 30})
	assert.Equal(t, ids[1:], standBy.own(t, ids[1:], nil).ids())
	idle := tgt.another(t, c, fields{"if_idle": 0})
	assert.Positive(t, idle.GivenBack)
}

func sharedSubscriptionHasLeases(t *testing.T, tgt testTarget) {
	t.Helper()
	a := tgt.fetcher(t, fields{"shared": true})
	require.Nil(t, a.Holder)
	b := tgt.another(t, a, fields{"shared": true})
	require.Equal(t, a.SubKey, b.SubKey)
	ids := tgt.publish(t, topicGuaranteed, 5, 5, 5, 5)
	require.Equal(t, ids, a.own(t, ids, fields{"lease": 3}).ids())
	assert.Empty(t, b.own(t, ids, fields{"wait": 0}).ids(), "handed out twice within the lease")
	b.fetch(t, fields{"max": 0, "renewed": ids[3:], "lease": 60})
	got := b.own(t, ids[:1], fields{"returned": ids[:1], "lease": 60})
	assert.Equal(t, ids[:1], got.ids(), "any consumer may return a message")
	var after []string
	for began := time.Now(); len(after) < 2 && time.Since(began) < 10*time.Second; {
		after = append(after, b.own(t, ids[1:3], fields{"lease": 60}).ids()...)
	}
	assert.Equal(t, ids[1:3], after, "their lease is over; the others are not")
	assert.Equal(t, 4, a.fetch(t, fields{"confirmed": ids, "max": 0}).Confirmed)
}

func subscriptionBecomesShared(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	ids := tgt.publish(t, topicGuaranteed, 5)
	require.Equal(t, ids, c.own(t, ids, nil).ids())
	shared := tgt.another(t, c, fields{"shared": true})
	assert.Zero(t, shared.GivenBack)
	assert.Equal(t, ids, shared.own(t, ids, nil).ids(), "what had no lease comes at once")
	requireError(t, attempt(t, c.Client, "connect.fetch", c.request(nil)), 409, takenOver)
	requireError(t, attempt(t, c.Client, "connect.subscribe", c.named(fields{"if_idle": 30})), 409, takenOver)
	assert.Positive(t, tgt.another(t, c, nil).GivenBack)
}

func maxBytesBoundsAFetch(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	pub := tgt.client(t)
	var ids []string
	for range 3 {
		id, err := pub.Publish(t.Context(), wsx.Publication{
			Topic: topicGuaranteed, Data: strings.Repeat("ż/", 5000), Priority: 9,
		})
		require.NoError(t, err)
		ids = append(ids, id)
	}
	small := c.request(fields{"max_bytes": 20_000, "wait": 0})
	err := attempt(t, c.Client, "connect.fetch", small)
	for err == nil { // it got messages that other tests have published
		err = attempt(t, c.Client, "connect.fetch", small)
	}
	requireError(t, err, 413, ids[0])
	got := c.own(t, ids, fields{"max_bytes": 100_000})
	assert.Equal(t, ids, got.ids())
	assert.Equal(t, []int{1, 1, 1}, got.counts(), "nothing was handed out before")
	first := tgt.another(t, c, nil).fetch(t, fields{"max_bytes": 100_000}).ids()
	first = slices.DeleteFunc(first, func(id string) bool { return !slices.Contains(ids, id) })
	assert.Equal(t, ids[:2], first, "three of them are longer")
}

func expiredMessageIsNotFetched(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	pub := tgt.client(t)
	var ids []string
	for _, expiration := range []int64{1, 600} {
		id, err := pub.Publish(t.Context(), wsx.Publication{
			Topic: topicGuaranteed, Data: uniqueText(t), Expiration: expiration,
		})
		require.NoError(t, err)
		ids = append(ids, id)
	}
	<-time.After(1500 * time.Millisecond)
	assert.Equal(t, ids[1:], c.own(t, ids, fields{"wait": 1}).ids())
}

func messageInMemoryIsFetched(t *testing.T, tgt testTarget) {
	t.Helper()
	pushed := tgt.subscriber(t, topicPlain)
	c := &consumer{Client: tgt.client(t), name: uniqueText(t)}
	onPlain := fields{"topic_name": topicPlain}
	c.subscribe(t, onPlain)
	ids := tgt.publish(t, topicPlain, 5, 5)
	var got []string
	for _, m := range receive(t, pushed, 2, func(m wsx.Message) bool { return slices.Contains(ids, m.MsgID) }) {
		got = append(got, m.MsgID)
	}
	assert.Equal(t, ids, got)
	assert.Equal(t, ids, c.own(t, ids, nil).ids())
	call(t, c.Client, "connect.unsubscribe", c.named(onPlain), &struct{}{})
}

func namedSubscriptionOutlivesItsConnection(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	require.NoError(t, c.Close())
	ids := tgt.publish(t, topicGuaranteed, 5)
	c.Client = tgt.client(t)
	assert.Equal(t, ids, c.own(t, ids, nil).ids(), "the key and the holder are enough")
}

func maxBoundsAFetch(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	ids := tgt.publish(t, topicGuaranteed, 5, 5, 5)
	var got []string
	for len(got) < len(ids) {
		part := c.fetch(t, fields{"max": 2})
		require.NotEmpty(t, part.Messages)
		require.LessOrEqual(t, len(part.Messages), 2)
		for _, id := range part.ids() {
			if slices.Contains(ids, id) { // other tests publish to the topic
				got = append(got, id)
			}
		}
	}
	assert.Equal(t, ids, got)
}

// waitingFetchEndsWithAPing sends a ping while a fetch waits. It ends that fetch and not the next one.
func waitingFetchEndsWithAPing(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, fields{"shared": true})
	c.own(t, []string{"none"}, fields{"wait": 0})
	p := tgt.peer(t)
	for range 2 {
		waiting := p.invoke(t, "connect.fetch", c.request(fields{"wait": 15}))
		<-time.After(200 * time.Millisecond) // the server has read the request
		began := time.Now()
		require.NoError(t, p.ws.WriteControl(websocket.PingMessage, nil, began.Add(time.Second)))
		p.await(t, waiting)
		assert.Less(t, time.Since(began), 5*time.Second)
	}
}

// fetchOfAGoneClientTakesNothing ends the connection of a client whose fetch waits.
func fetchOfAGoneClientTakesNothing(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, fields{"shared": true})
	c.own(t, []string{"none"}, fields{"wait": 0})
	p := tgt.peer(t)
	p.invoke(t, "connect.fetch", c.request(fields{"wait": 15, "lease": 600}))
	<-time.After(200 * time.Millisecond) // the server has read the request
	require.NoError(t, p.ws.NetConn().Close())
	<-time.After(500 * time.Millisecond)
	ids := tgt.publish(t, topicGuaranteed, 5, 5)
	got := c.own(t, ids, fields{"lease": 60})
	assert.Equal(t, ids, got.ids())
	assert.Equal(t, []int{1, 1}, got.counts())
}

func sharedSubscriptionDivides(t *testing.T, tgt testTarget) {
	t.Helper()
	a := tgt.fetcher(t, fields{"shared": true})
	b := tgt.another(t, a, fields{"shared": true})
	tgt.publish(t, topicGuaranteed, 5, 5, 5, 5)
	first, second := a.fetch(t, fields{"max": 2}).ids(), b.fetch(t, fields{"max": 2}).ids()
	require.Len(t, first, 2)
	require.Len(t, second, 2)
	assert.NotContains(t, first, second[0])
	assert.NotContains(t, first, second[1])
}

// unknownKeyIsA404 is a difference on purpose: clients of the stock service expect its
// status, and a fetch says what happened.
func unknownKeyIsA404(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.client(t)
	request := fields{"sub_key": "zpsk.wsx.no.such"}
	requireError(t, attempt(t, c, "connect.fetch", request), 404, "No such subscription")
	requireError(t, attempt(t, c, serviceResume, request), 500, "")
}

func anotherEndpointHasItsOwnSubscriptions(t *testing.T, tgt testTarget) {
	t.Helper()
	if tgt.short == nil {
		t.Skip("needs " + shortPings)
	}
	c := tgt.fetcher(t, nil)
	requireError(t, attempt(t, tgt.short.client(t), "connect.fetch", c.request(nil)), 403, "")
	other := tgt.short.another(t, c, nil)
	assert.True(t, other.Created)
	assert.NotEqual(t, c.SubKey, other.SubKey)
	call(t, other.Client, "connect.unsubscribe", other.named(nil), &struct{}{})
	c.fetch(t, fields{"wait": 0})
}
