package conformance_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	servicePublishList = "connect.publish"
	serviceInvokeList  = "connect.invoke"
)

// lists are the behaviours of the services that take a list.
func lists() map[string]behaviour {
	const publish, known, invoke = "publish-list", "publish-known", "invoke-list"
	return map[string]behaviour{
		"a list is published at once and known ids only once":       {known, listIsPublishedOnce},
		"the id of a message of another topic is refused":           {known, idOfAnotherTopicIsRefused},
		"an id that is twice in a list is published once":           {known, idTwiceInAList},
		"a list keeps its order within a priority":                  {publish, listKeepsItsOrder},
		"the messages of a list keep their metadata":                {publish, listKeepsItsMetadata},
		"a message without an id gets one":                          {publish, listedMessageGetsAnID},
		"a bad message of a list is refused and the others are not": {publish, badMessageIsRefused},
		"a list to a topic without the right is a 403, unknown 404": {publish, listNeedsTheRight},
		"an empty list is accepted":                                 {publish, emptyListIsAccepted},
		"invalid lists name the field":                              {publish, invalidListsNameTheField},

		"a list of requests is answered with a list of results":    {invoke, listIsInvoked},
		"a request that fails does not affect the others":          {invoke, failureInAListIsItsOwn},
		"a service that is not allowed is a 403 for each request":  {invoke, listNeedsAnAllowedService},
		"a falsy request of a list arrives as an empty text":       {invoke, falsyRequestsOfAListAreEmpty},
		"requests that had no time are not run":                    {invoke, lateRequestsAreNotRun},
		"parallel requests keep their places, also the unfinished": {invoke, parallelRequestsKeepTheirPlaces},
		"max_bytes bounds the responses of a list":                 {invoke, maxBytesBoundsAList},
	}
}

// listed is what connect.publish says of a message.
type listed struct {
	MsgID  *string `json:"msg_id"`
	Status string  `json:"status"`
	Error  string  `json:"error"`
}

// publishList publishes to the guaranteed topic and returns what became of the messages.
func (tgt testTarget) publishList(t *testing.T, messages ...any) []listed {
	t.Helper()
	var answer struct {
		Messages []listed `json:"messages"`
	}
	request := fields{"topic_name": topicGuaranteed, "messages": messages}
	call(t, tgt.client(t), servicePublishList, request, &answer)
	require.Len(t, answer.Messages, len(messages))
	return answer.Messages
}

func listIsPublishedOnce(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	id := uniqueText(t)
	for _, expected := range []string{"published", "known"} {
		got := tgt.publishList(t,
			fields{"data": "a", "msg_id": id + " a"}, fields{"data": "b", "msg_id": id + " b", "priority": 9},
			fields{"data": ""})
		assert.Equal(t, expected, got[0].Status)
		assert.Equal(t, expected, got[1].Status)
		assert.Equal(t, "refused", got[2].Status)
	}
	ids := []string{id + " b", id + " a"}
	assert.Equal(t, ids, c.own(t, ids, nil).ids())
}

func idOfAnotherTopicIsRefused(t *testing.T, tgt testTarget) {
	t.Helper()
	message := fields{"data": "x", "msg_id": uniqueText(t)}
	require.Equal(t, "published", tgt.publishList(t, message)[0].Status)
	var answer struct {
		Messages []listed `json:"messages"`
	}
	call(t, tgt.client(t), servicePublishList, fields{"topic_name": topicPlain, "messages": []any{message}}, &answer)
	require.Len(t, answer.Messages, 1)
	assert.Equal(t, "refused", answer.Messages[0].Status)
	assert.Contains(t, answer.Messages[0].Error, "another topic")
}

func idTwiceInAList(t *testing.T, tgt testTarget) {
	t.Helper()
	message := fields{"data": "x", "msg_id": uniqueText(t)}
	got := tgt.publishList(t, message, message)
	assert.Equal(t, "published", got[0].Status)
	assert.Equal(t, "known", got[1].Status)
}

func listKeepsItsOrder(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	id := uniqueText(t)
	var messages []any
	byPriority := map[int][]string{}
	var ids []string
	for i, priority := range []int{5, 9, 5, 1, 9, 5, 1, 5, 9, 5} {
		ids = append(ids, fmt.Sprintf("%s %d", id, i))
		messages = append(messages, fields{"data": "x", "msg_id": ids[i], "priority": priority})
		byPriority[priority] = append(byPriority[priority], ids[i])
	}
	tgt.publishList(t, messages...)
	expected := append(append(byPriority[9], byPriority[5]...), byPriority[1]...)
	assert.Equal(t, expected, c.own(t, ids, nil).ids())
	assert.Equal(t, expected, tgt.another(t, c, nil).own(t, ids, nil).ids(), "the second time")
}

func listKeepsItsMetadata(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.fetcher(t, nil)
	id := uniqueText(t)
	tgt.publishList(t, fields{
		"data": "żółć 😀", "msg_id": id, "priority": 7, "expiration": 60, "correl_id": "c-1", "in_reply_to": "r-1",
		"ext_client_id": "e-1", "ext_pub_time": "2026-01-02T03:04:05.000006", "mime_type": "text/csv", "has_gd": true,
	})
	got := c.own(t, []string{id}, nil)
	require.Len(t, got.Messages, 1)
	m := got.Messages[0]
	assert.JSONEq(t, `"żółć 😀"`, string(m.Data))
	assert.Equal(t, 7, m.Priority)
	assert.Equal(t, int64(60), m.Expiration)
	assert.Equal(t, "c-1", m.CorrelID)
	require.NotNil(t, m.InReplyTo)
	assert.Equal(t, "r-1", *m.InReplyTo)
	assert.Equal(t, "e-1", m.ExtClientID)
	require.NotNil(t, m.ExtPubTime)
	var published float64
	require.NoError(t, json.Unmarshal([]byte(*m.ExtPubTime), &published))
	assert.InDelta(t, 1767323045.000006, published, 0.000001)
}

func listedMessageGetsAnID(t *testing.T, tgt testTarget) {
	t.Helper()
	for _, message := range []fields{{"data": "x"}, {"data": "x", "msg_id": ""}, {"data": "x", "msg_id": nil}} {
		got := tgt.publishList(t, message)[0]
		assert.Equal(t, "published", got.Status)
		require.NotNil(t, got.MsgID)
		assert.True(t, strings.HasPrefix(*got.MsgID, "zpsm"), *got.MsgID)
	}
}

func badMessageIsRefused(t *testing.T, tgt testTarget) {
	t.Helper()
	bad := []struct {
		message any
		err     string
	}{
		{5, "not an object"},
		{fields{}, "no data"},
		{fields{"data": 5}, "data is not a text"},
		{fields{"data": "a\x00b"}, "data has a character that cannot be stored"},
		{fields{"data": "x", "msg_id": 5}, "bad msg_id"},
		{fields{"data": "x", "msg_id": strings.Repeat("x", 201)}, "bad msg_id"},
		{fields{"data": "x", "correl_id": 5}, "bad correl_id"},
		{fields{"data": "x", "in_reply_to": 5}, "bad in_reply_to"},
		{fields{"data": "x", "ext_client_id": 5}, "bad ext_client_id"},
		{fields{"data": "x", "mime_type": 5}, "bad mime_type"},
		{fields{"data": "x", "ext_pub_time": "noon"}, "bad ext_pub_time"},
		{fields{"data": "x", "priority": 0}, "bad priority"},
		{fields{"data": "x", "priority": 10}, "bad priority"},
		{fields{"data": "x", "priority": "7"}, "bad priority"},
		{fields{"data": "x", "expiration": -1}, "bad expiration"},
		{fields{"data": "x", "has_gd": "true"}, "bad has_gd"},
	}
	messages := []any{fields{"data": "good"}}
	for _, b := range bad {
		messages = append(messages, b.message)
	}
	got := tgt.publishList(t, append(messages, fields{"data": "good", "unknown": 1})...)
	assert.Equal(t, "published", got[0].Status)
	for i, b := range bad {
		assert.Equal(t, "refused", got[i+1].Status, b.message)
		assert.Equal(t, b.err, got[i+1].Error, b.message)
	}
	assert.Equal(t, "published", got[len(bad)+1].Status, "an unknown field is ignored")
}

func listNeedsTheRight(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.client(t)
	for topic, status := range map[string]int{topicForbidden: 403, topicUnknown: 404} {
		request := fields{"topic_name": topic, "messages": []any{fields{"data": "x"}}}
		requireError(t, attempt(t, c, servicePublishList, request), status, "")
	}
}

func emptyListIsAccepted(t *testing.T, tgt testTarget) {
	t.Helper()
	var got struct {
		Messages []listed `json:"messages"`
	}
	call(t, tgt.client(t), servicePublishList, fields{"topic_name": topicGuaranteed, "messages": []any{}}, &got)
	assert.NotNil(t, got.Messages)
	assert.Empty(t, got.Messages)
}

func invalidListsNameTheField(t *testing.T, tgt testTarget) {
	t.Helper()
	c := tgt.client(t)
	for _, bad := range []struct {
		service string
		request fields
		text    string
	}{
		{servicePublishList, fields{"messages": []any{}}, "topic_name is missing"},
		{servicePublishList, fields{"topic_name": topicGuaranteed}, "messages is missing"},
		{servicePublishList, fields{"topic_name": topicGuaranteed, "messages": "x"}, "at most 2000 messages"},
		{servicePublishList, fields{"topic_name": topicGuaranteed, "messages": make([]int, 2001)}, "at most 2000 messages"},
		{serviceInvokeList, fields{"requests": []any{}}, "service is missing"},
		{serviceInvokeList, fields{"service": "my.echo"}, "requests is missing"},
		{serviceInvokeList, fields{"service": "my.echo", "requests": make([]int, 1001)}, "at most 1000 requests"},
		{serviceInvokeList, fields{"service": "my.echo", "requests": []any{}, "parallel": 0}, "parallel must be"},
		{serviceInvokeList, fields{"service": "my.echo", "requests": []any{}, "seconds": -1}, "seconds must be"},
	} {
		requireError(t, attempt(t, c, bad.service, bad.request), 400, bad.text)
	}
}

// result is the answer to one request of a list.
type result struct {
	Status   int             `json:"status"`
	Response json.RawMessage `json:"response"`
	Error    string          `json:"error"`
	CID      string          `json:"cid"`
}

// invokeList invokes a service with a list of requests.
func (tgt testTarget) invokeList(t *testing.T, service string, requests []any, more fields) []result {
	t.Helper()
	var answer struct {
		Responses []result `json:"responses"`
		Duration  *float64 `json:"duration"`
	}
	request := with(fields{"service": service, "requests": requests}, more)
	call(t, tgt.client(t), serviceInvokeList, request, &answer)
	require.Len(t, answer.Responses, len(requests))
	assert.Equal(t, more["start_within"] != nil, answer.Duration != nil)
	return answer.Responses
}

func statuses(results []result) []int {
	out := make([]int, len(results))
	for i, r := range results {
		out[i] = r.Status
	}
	return out
}

func listIsInvoked(t *testing.T, tgt testTarget) {
	t.Helper()
	got := tgt.invokeList(t, "my.echo", []any{1, "two", fields{"n": 3}}, fields{"start_within": 5})
	for i, expected := range []string{`1`, `"two"`, `{"n":3}`} {
		assert.Equal(t, 200, got[i].Status)
		assert.JSONEq(t, expected, string(got[i].Response))
	}
}

func failureInAListIsItsOwn(t *testing.T, tgt testTarget) {
	t.Helper()
	good, bad := fields{"seconds": 0}, []any{1}
	got := tgt.invokeList(t, "my.sleep", []any{good, bad, good, bad}, nil)
	assert.Equal(t, []int{200, 500, 200, 500}, statuses(got))
	assert.NotEmpty(t, got[1].Error)
	assert.Regexp(t, "-1$", got[1].CID)
	assert.Equal(t, strings.TrimSuffix(got[1].CID, "-1")+"-3", got[3].CID)
}

func listNeedsAnAllowedService(t *testing.T, tgt testTarget) {
	t.Helper()
	for _, service := range []string{"my.no-such", serviceInvokeList, servicePublish} {
		for _, r := range tgt.invokeList(t, service, []any{1, 2}, nil) {
			assert.Equal(t, 403, r.Status, service)
			assert.Equal(t, "not allowed", r.Error, service)
			assert.NotEmpty(t, r.CID, service)
		}
	}
}

func falsyRequestsOfAListAreEmpty(t *testing.T, tgt testTarget) {
	t.Helper()
	for i, r := range tgt.invokeList(t, "my.echo", []any{nil, "", 0, false, []any{}, fields{}}, nil) {
		assert.Equal(t, 200, r.Status, i)
		assert.JSONEq(t, `""`, string(r.Response), i)
	}
}

func lateRequestsAreNotRun(t *testing.T, tgt testTarget) {
	t.Helper()
	sleep := fields{"seconds": 0.5}
	got := tgt.invokeList(t, "my.sleep", []any{sleep, sleep, sleep}, fields{"seconds": 0.2})
	assert.Equal(t, []int{200, 0, 0}, statuses(got), "what has begun is waited for")
	assert.Equal(t, "not run", got[1].Error)
}

func parallelRequestsKeepTheirPlaces(t *testing.T, tgt testTarget) {
	t.Helper()
	began := time.Now()
	got := tgt.invokeList(t, "my.sleep",
		[]any{fields{"seconds": 0.3}, fields{"seconds": 6}, fields{"seconds": 0.2}},
		fields{"seconds": 1.5, "parallel": 3})
	assert.Less(t, time.Since(began), 4*time.Second, "an unfinished request was waited for")
	assert.Equal(t, []int{200, 0, 200}, statuses(got))
	assert.JSONEq(t, `{"seconds":0.3}`, string(got[0].Response))
	assert.Equal(t, "not finished", got[1].Error)
	assert.NotEmpty(t, got[1].CID)
	assert.JSONEq(t, `{"seconds":0.2}`, string(got[2].Response))
}

func maxBytesBoundsAList(t *testing.T, tgt testTarget) {
	t.Helper()
	item := strings.Repeat("ż", 1000) // over 6,000 bytes
	items := []any{item, item, item, item, item}
	got := tgt.invokeList(t, "my.echo", items, fields{"max_bytes": 20_000})
	assert.Equal(t, []int{200, 200, 200, 0, 0}, statuses(got))
	assert.Equal(t, "not run", got[3].Error)
	got = tgt.invokeList(t, "my.echo", []any{item, "short"}, fields{"max_bytes": 6000})
	assert.Equal(t, []int{413, 200}, statuses(got))
	assert.Contains(t, got[0].Error, "has run")
	assert.NotEmpty(t, got[0].CID)
}
