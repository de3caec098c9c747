package conformance_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

const takenOver = "Another consumer has this subscription now"

// describe returns what the companion of a gateway can do, nil if there is none.
func describe(t *testing.T, tgt testTarget) []string {
	t.Helper()
	var description struct {
		Can []string `json:"can"`
	}
	raw, err := tgt.client(t).Invoke(t.Context(), "connect.describe", nil)
	if err != nil {
		require.Equal(t, 403, serverError(t, err).Status)
		return nil
	}
	require.NoError(t, json.Unmarshal(raw, &description))
	return description.Can
}

// fetches are the behaviours of subscriptions by name.
func fetches() map[string]behaviour {
	const fetch = wsx.AbilityFetch
	return map[string]behaviour{
		"a gateway describes itself":                           {fetch, gatewayDescribesItself},
		"a subscription is found by its name":                  {fetch, subscriptionIsFoundByName},
		"a name may have any characters":                       {fetch, nameMayHaveAnyCharacters},
		"a subscription by name outlives its connection":       {fetch, namedSubscriptionOutlivesItsConnection},
		"messages are fetched until they are confirmed":        {fetch, messagesAreFetchedUntilConfirmed},
		"max bounds a fetch and the rest comes next":           {fetch, maxBoundsAFetch},
		"a fetched message has its metadata":                   {fetch, fetchedMessageHasMetadata},
		"the last one to subscribe has the subscription":       {fetch, lastSubscriberHasTheSubscription},
		"a fetch waits for a message":                          {fetch, fetchWaits},
		"a ping ends the wait of a fetch":                      {fetch, waitingFetchEndsWithAPing},
		"a fetch of a client that is gone takes nothing":       {fetch, fetchOfAGoneClientTakesNothing},
		"a returned message comes again at once":               {fetch, returnedMessageComesAgain},
		"a stand-by takes a released or an idle subscription":  {fetch, standByTakesOver},
		"a shared subscription hands out on a lease":           {fetch, sharedSubscriptionHasLeases},
		"a shared subscription gives each message to one":      {fetch, sharedSubscriptionDivides},
		"a subscription changes from exclusive to shared":      {fetch, subscriptionBecomesShared},
		"max_bytes bounds a fetch":                             {fetch, maxBytesBoundsAFetch},
		"an expired message is not fetched":                    {fetch, expiredMessageIsNotFetched},
		"invalid requests to the companion name the field":     {fetch, invalidRequestsNameTheField},
		"an unknown key is a 404 to a fetch, 500 to a resume":  {fetch, unknownKeyIsA404},
		"a message in memory is fetched beside a pushed one":   {wsx.AbilityFetchInMemory, messageInMemoryIsFetched},
		"subscriptions are listed and deleted":                 {wsx.AbilitySubscriptions, subscriptionsAreListedAndDeleted},
		"a subscription that was released has no consumer":     {wsx.AbilitySubscriptions, releasedSubscriptionHasNoConsumer},
		"another endpoint can neither fetch nor find the name": {fetch, anotherEndpointHasItsOwnSubscriptions},
	}
}

// fields are the fields of a request.
type fields map[string]any

// consumer is a client that fetches from a subscription.
type consumer struct {
	*wsx.Client

	name string
	subscribed
}

type subscribed struct {
	SubKey    string  `json:"sub_key"`
	Holder    *string `json:"holder"`
	Created   bool    `json:"created"`
	GivenBack int     `json:"given_back"`
}

type fetched struct {
	Messages []struct {
		MsgID          string          `json:"msg_id"`
		Data           json.RawMessage `json:"data"`
		Priority       int             `json:"priority"`
		CorrelID       string          `json:"correl_id"`
		InReplyTo      *string         `json:"in_reply_to"`
		ExtClientID    string          `json:"ext_client_id"`
		PubTime        string          `json:"pub_time"`
		ExtPubTime     *string         `json:"ext_pub_time"`
		Expiration     int64           `json:"expiration"`
		ExpirationTime string          `json:"expiration_time"`
		MimeType       string          `json:"mime_type"`
		DeliveryCount  int             `json:"delivery_count"`
	} `json:"messages"`
	Confirmed int `json:"confirmed"`
}

func (f fetched) ids() []string {
	ids := []string{}
	for _, m := range f.Messages {
		ids = append(ids, m.MsgID)
	}
	return ids
}

// counts returns the delivery counts.
func (f fetched) counts() []int {
	var counts []int
	for _, m := range f.Messages {
		counts = append(counts, m.DeliveryCount)
	}
	return counts
}

// call invokes a service and decodes the answer.
func call(t *testing.T, c *wsx.Client, service string, request, into any) {
	t.Helper()
	raw, err := c.Invoke(t.Context(), service, request)
	require.NoError(t, err, "%s %v", service, request)
	require.NoError(t, json.Unmarshal(raw, into), "%s", raw)
}

// attempt invokes a service and returns the error.
func attempt(t *testing.T, c *wsx.Client, service string, request any) error {
	t.Helper()
	_, err := c.Invoke(t.Context(), service, request)
	return err
}

// requireError requires an error of the server with a status and a text in it.
func requireError(t *testing.T, err error, status int, text string) {
	t.Helper()
	serverErr := serverError(t, err)
	require.Equal(t, status, serverErr.Status, err)
	require.Contains(t, serverErr.Text, text)
}

// fetcher subscribes by a name that no other run has, with more fields of the request.
func (tgt testTarget) fetcher(t *testing.T, more fields) *consumer {
	t.Helper()
	c := &consumer{Client: tgt.client(t), name: strings.ReplaceAll(uniqueText(t), "/", " ")}
	c.subscribe(t, more)
	remover := tgt.client(t)
	t.Cleanup(func() {
		_, _ = remover.Invoke(t.Context(), "connect.unsubscribe", fields{"topic_name": topicGuaranteed, "name": c.name})
	})
	return c
}

// another returns another client that consumes the same subscription.
func (tgt testTarget) another(t *testing.T, c *consumer, more fields) *consumer {
	t.Helper()
	other := &consumer{Client: tgt.client(t), name: c.name}
	other.subscribe(t, more)
	return other
}

func (c *consumer) named(more fields) fields {
	request := fields{"topic_name": topicGuaranteed, "name": c.name}
	maps.Copy(request, more)
	return request
}

func (c *consumer) subscribe(t *testing.T, more fields) {
	t.Helper()
	c.subscribed = subscribed{}
	call(t, c.Client, "connect.subscribe", c.named(more), &c.subscribed)
}

func (c *consumer) request(more fields) fields {
	request := fields{"sub_key": c.SubKey, "holder": c.Holder, "wait": 2}
	maps.Copy(request, more)
	return request
}

func (c *consumer) fetch(t *testing.T, more fields) fetched {
	t.Helper()
	var answer fetched
	call(t, c.Client, "connect.fetch", c.request(more), &answer)
	return answer
}

// own fetches until it has n of the messages with the given ids. Other tests publish to
// the same topic, so it confirms the others.
func (c *consumer) own(t *testing.T, ids []string, more fields) fetched {
	t.Helper()
	var own fetched
	var others []string
	for range 50 {
		got := c.fetch(t, more)
		own.Confirmed += got.Confirmed
		for _, m := range got.Messages {
			if slices.Contains(ids, m.MsgID) {
				own.Messages = append(own.Messages, m)
			} else {
				others = append(others, m.MsgID)
			}
		}
		if len(got.Messages) == 0 || len(own.Messages) >= len(ids) {
			break
		}
		more = maps.Clone(more)
		for _, once := range []string{"confirmed", "returned", "renewed"} {
			delete(more, once)
		}
	}
	for part := range slices.Chunk(others, 500) {
		c.fetch(t, fields{"confirmed": part, "max": 0})
	}
	return own
}

// publish publishes messages of the given priorities and returns their ids.
func (tgt testTarget) publish(t *testing.T, topic string, priorities ...int) []string {
	t.Helper()
	pub := tgt.client(t)
	text := uniqueText(t)
	var ids []string
	for i, priority := range priorities {
		id, err := pub.Publish(t.Context(), wsx.Publication{
			Topic: topic, Data: fmt.Sprintf("%s %d", text, i), Priority: priority,
		})
		require.NoError(t, err)
		ids = append(ids, id)
	}
	return ids
}

func gatewayDescribesItself(t *testing.T, tgt testTarget) {
	t.Helper()
	var got struct {
		Name     string             `json:"name"`
		Version  int                `json:"version"`
		Can      []string           `json:"can"`
		Limits   map[string]float64 `json:"limits"`
		Services []string           `json:"services"`
		Database string             `json:"database"`
		LogLevel string             `json:"log_level"`
	}
	call(t, tgt.client(t), "connect.describe", fields{}, &got)
	assert.Equal(t, "zato-connect", got.Name)
	assert.Equal(t, 1, got.Version)
	for _, limit := range []string{"fetch_messages", "fetch_seconds", "ids"} {
		assert.Positive(t, got.Limits[limit], limit)
	}
	assert.Contains(t, got.Services, "my.echo")
	assert.Contains(t, []string{"sqlite", "postgresql", "mysql"}, got.Database)
	assert.NotEmpty(t, got.LogLevel)
}

func subscriptionIsFoundByName(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	require.True(t, c.Created)
	require.NotNil(t, c.Holder)
	require.Zero(t, c.GivenBack)
	again := tgt.another(t, c, fields{"holder": c.Holder})
	assert.False(t, again.Created)
	assert.Equal(t, c.SubKey, again.SubKey)
	assert.NotEqual(t, *c.Holder, *again.Holder)
	requireError(t, attempt(t, c.Client, "connect.subscribe", c.named(fields{"holder": c.Holder})), 409, takenOver)
	other := tgt.fetcher(t, nil)
	assert.NotEqual(t, c.SubKey, other.SubKey)
}

func invalidRequestsNameTheField(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	const subscribe, fetch = "connect.subscribe", "connect.fetch"
	for _, bad := range []struct {
		service string
		request fields
		status  int
		text    string
	}{
		{subscribe, fields{"name": "n"}, 400, "topic_name"},
		{subscribe, fields{"topic_name": topicGuaranteed}, 400, "A subscription needs a name"},
		{subscribe, c.named(fields{"name": strings.Repeat("x", 201)}), 400, "name"},
		{subscribe, c.named(fields{"shared": "yes"}), 400, "shared"},
		{subscribe, c.named(fields{"if_idle": "x"}), 400, "if_idle"},
		{subscribe, c.named(fields{"topic_name": topicUnknown}), 404, "No such topic `" + topicUnknown + "`"},
		{subscribe, c.named(fields{"topic_name": topicForbidden}), 403, ""},
		{subscribe, c.named(fields{"name": uniqueText(t), "holder": "x"}), 404, "No such subscription"},
		{fetch, fields{"max": 1}, 400, "sub_key"},
		{fetch, fields{"sub_key": "zpsk.wsx.no.1"}, 404, "No such subscription"},
		{fetch, c.request(fields{"max": "x"}), 400, "max"},
		{fetch, c.request(fields{"max": -1}), 400, "max"},
		{fetch, c.request(fields{"max_bytes": 0}), 400, "max_bytes"},
		{fetch, c.request(fields{"wait": true}), 400, "wait"},
		{fetch, c.request(fields{"lease": 0}), 400, "lease"},
		{fetch, c.request(fields{"confirmed": "x"}), 400, "confirmed"},
		{fetch, c.request(fields{"returned": []int{1}}), 400, "returned"},
		{fetch, c.request(fields{"renewed": make([]string, 2001)}), 400, "renewed"},
		{fetch, c.request(fields{"release": 1}), 400, "release"},
	} {
		requireError(t, attempt(t, c.Client, bad.service, bad.request), bad.status, bad.text)
	}
	c.fetch(t, fields{"max": nil, "lease": nil, "confirmed": nil, "unknown": 1, "wait": 0})
}

// subscriptionInfo is what connect.subscriptions says of a subscription.
type subscriptionInfo struct {
	TopicName   string            `json:"topic_name"`
	Name        string            `json:"name"`
	Shared      bool              `json:"shared"`
	Waiting     int               `json:"waiting"`
	Unconfirmed int               `json:"unconfirmed"`
	Consumer    map[string]string `json:"consumer"`
	Idle        *float64          `json:"idle"`
}

type subscriptionList struct {
	Subscriptions []subscriptionInfo `json:"subscriptions"`
}

func (c *consumer) info(t *testing.T) subscriptionInfo {
	t.Helper()
	var answer subscriptionList
	call(t, c.Client, "connect.subscriptions", fields{"name": c.name}, &answer)
	require.Len(t, answer.Subscriptions, 1)
	return answer.Subscriptions[0]
}

func subscriptionsAreListedAndDeleted(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	tgt.publish(t, topicGuaranteed, 9, 9, 9)
	got := c.fetch(t, fields{"max": 1})
	require.Len(t, got.Messages, 1)
	sub := c.info(t)
	assert.Equal(t, topicGuaranteed, sub.TopicName)
	assert.Equal(t, c.name, sub.Name)
	assert.False(t, sub.Shared)
	assert.GreaterOrEqual(t, sub.Waiting, 2)
	assert.Equal(t, 1, sub.Unconfirmed)
	assert.NotEmpty(t, sub.Consumer["client_id"])
	assert.Contains(t, sub.Consumer, "client_name")
	require.NotNil(t, sub.Idle)
	assert.Less(t, *sub.Idle, 60.0)

	var answer subscriptionList
	call(t, c.Client, "connect.subscriptions", nil, &answer)
	assert.NotEmpty(t, answer.Subscriptions)
	call(t, c.Client, "connect.subscriptions", fields{"topic_name": topicPlain, "name": c.name}, &answer)
	assert.Empty(t, answer.Subscriptions)
	var dropped struct {
		Waiting int `json:"waiting"`
	}
	call(t, c.Client, "connect.unsubscribe", c.named(nil), &dropped)
	assert.GreaterOrEqual(t, dropped.Waiting, 3)
	const unknown = "No such subscription"
	requireError(t, attempt(t, c.Client, "connect.unsubscribe", c.named(nil)), 404, unknown)
	requireError(t, attempt(t, c.Client, "connect.fetch", c.request(nil)), 404, unknown)
}

func releasedSubscriptionHasNoConsumer(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	assert.NotNil(t, c.info(t).Consumer)
	c.fetch(t, fields{"release": true})
	assert.Nil(t, c.info(t).Consumer)
	tgt.another(t, c, fields{"shared": true})
	sub := c.info(t)
	assert.True(t, sub.Shared)
	assert.Nil(t, sub.Consumer)
}

func nameMayHaveAnyCharacters(t *testing.T, tgt testTarget) {
	t.Helper()
	for _, name := range []string{`ż/ó%ł "ć" '{}' ` + uniqueText(t), uniqueText(t) + strings.Repeat("😀", 100)} {
		c := &consumer{Client: tgt.client(t), name: name}
		c.subscribe(t, nil)
		assert.True(t, c.Created)
		assert.Equal(t, c.SubKey, tgt.another(t, c, nil).SubKey)
		assert.Equal(t, name, c.info(t).Name)
		call(t, c.Client, "connect.unsubscribe", c.named(nil), &struct{}{})
	}
}
