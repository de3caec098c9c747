package wsxtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// publishList publishes messages in one call and returns their statuses.
func (p *peer) publishList(t *testing.T, topic string, messages ...any) []string {
	t.Helper()
	var got struct {
		Messages []struct {
			MsgID  *string `json:"msg_id"`
			Status string  `json:"status"`
			Error  string  `json:"error"`
		} `json:"messages"`
	}
	request := map[string]any{"topic_name": topic, "messages": messages}
	companionResult(t, p.invoke(t, "connect.publish", request), &got)
	statuses := []string{}
	for _, m := range got.Messages {
		if m.Error != "" {
			m.Status += ": " + m.Error
		}
		statuses = append(statuses, m.Status)
	}
	return statuses
}

func TestMessagesOfAListForWhichATopicHasNoRoomAreNotPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t, wsxtest.WithTopic(wsxtest.Topic{Name: "/my/small", MaxDepthNonGD: 2}))
		memory, guaranteed := map[string]any{"data": "m"}, map[string]any{"data": "g", "has_gd": true}
		p := srv.connect(t, connectPath)
		assert.Equal(t, []string{"published", "published", "published"},
			p.publishList(t, "/my/small", memory, memory, memory), "without a subscriber, no message is in memory")
		first, second := srv.connect(t, connectPath), srv.connect(t, connectPath)
		first.subscribe(t, "/my/small", nil)
		second.subscribe(t, "/my/small", nil)
		first.messages(t)
		for range 3 {
			assert.Equal(t, []string{"published", "published", "published", "full", "published", "full"},
				p.publishList(t, "/my/small", memory, guaranteed, memory, memory, guaranteed, memory))
			assert.Len(t, first.messages(t), 4)
			assert.Len(t, second.messages(t), 4)
		}
		for range 3 {
			publish(t, srv, "/my/small", "x", wsxtest.PublishOptions{})
		}
		var answer map[string]any
		request := map[string]any{"topic_name": "/my/small", "messages": []any{memory, guaranteed}}
		companionResult(t, p.invoke(t, "connect.publish", request), &answer)
		assert.InDelta(t, 3, answer["depth"], 0, "what the server lost counts too")
		assert.InDelta(t, 2, answer["max_depth"], 0)
	})
}

func TestListIsPublishedAtOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		id := c.sendInvocation(t, "connect.fetch", c.request(map[string]any{"wait": 20}))
		synctest.Wait()
		p := srv.connect(t, connectPath)
		statuses := p.publishList(t, "/my/topic.gd",
			map[string]any{"msg_id": "a", "data": "x"}, map[string]any{"msg_id": "b", "data": "x", "priority": 9},
			map[string]any{"msg_id": "c", "data": "x", "priority": nil}, map[string]any{"msg_id": "a", "data": "y"})
		assert.Equal(t, []string{"published", "published", "published", "known"}, statuses)
		f := c.frame(t)
		require.Equal(t, id, f.Meta.InReplyTo)
		var got fetched
		companionResult(t, f, &got)
		assert.Equal(t, []string{"b", "a", "c"}, got.ids(), "a fetch that waits gets the whole list")
		assert.Len(t, srv.Published(), 3)
		assert.Equal(t, []string{"known"}, p.publishList(t, "/my/topic.gd", map[string]any{"msg_id": "c", "data": "z"}))
	})
}

func TestEmptyCorrelationIDOfAListedMessageIsNull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		c.publishList(t, "/my/topic.gd", map[string]any{"data": "x", "correl_id": "", "mime_type": "text/csv"})
		answer := result(t, c.invoke(t, "connect.fetch", c.request(nil)))
		assert.Contains(t, answer, `"correl_id": null`)
		assert.Contains(t, answer, `"mime_type": "text\/csv"`)
	})
}

func TestMessagesOfAListAreCheckedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		p := srv.connect(t, connectPath)
		for message, status := range map[string]string{
			`{"data":"x","ext_pub_time":"2026-11-29T05:00:00"}`: "published",
			`{"data":"x","has_gd":true}`:                        "published",
			`{"data":"x","expiration":0,"correl_id":null}`:      "published",
			`[1]`:                                `refused: not an object`,
			`{}`:                                 `refused: no data`,
			`{"data":7}`:                         `refused: data is not a text`,
			`{"data":"x","priority":10}`:         `refused: bad priority`,
			`{"data":"x","priority":"7"}`:        `refused: bad priority`,
			`{"data":"x","expiration":-1}`:       `refused: bad expiration`,
			`{"data":"x","has_gd":"true"}`:       `refused: bad has_gd`,
			`{"data":"x","ext_pub_time":"noon"}`: `refused: bad ext_pub_time`,
			`{"data":"x","correl_id":7}`:         `refused: bad correl_id`,
			`{"data":"x","mime_type":7}`:         `refused: bad mime_type`,
			`{"data":"x\u0000"}`:                 `refused: data has a character that cannot be stored`,
			`{"data":"x\ud800"}`:                 `refused: data has a character that cannot be stored`,
			`{"data":"x","unknown":7}`:           "published",
		} {
			assert.Equal(t, []string{status}, p.publishList(t, "/my/topic", json.RawMessage(message)), message)
		}
		assert.Len(t, srv.Published(), 4)
	})
}

func TestIDsInMemoryAreKnownOnlyIfTheMessageIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		p := srv.connect(t, connectPath)
		m := map[string]any{"msg_id": "a", "data": "x"}
		assert.Equal(t, []string{"published", "known"}, p.publishList(t, "/my/topic", m, m))
		assert.Equal(t, []string{"known"}, p.publishList(t, "/my/topic", m), "nobody is connected")
		const another = "refused: msg_id is of a message of another topic"
		assert.Equal(t, []string{another}, p.publishList(t, "/my/topic2", m))
		srv.login(t).subscribe(t, "/my/topic2", nil)
		m["msg_id"] = "b"
		for range 2 {
			assert.Equal(t, []string{"published"}, p.publishList(t, "/my/topic2", m), "it is pushed from memory")
		}
	})
}

func TestListIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startConnectServer(t).connect(t, connectPath)
		for service, request := range map[string]map[string]any{
			"connect.publish": {"topic_name": "/my/topic", "messages": make([]any, 2001)},
			"connect.invoke":  {"service": "my.echo", "requests": make([]any, 1001)},
		} {
			f := p.invoke(t, service, request)
			assert.Equal(t, 400, f.Meta.Status, service)
			assert.Contains(t, f.Meta.ErrorMessage, "s must be a list of at most", service)
		}
	})
}

// invokeList invokes a service for each request and returns the responses.
func (p *peer) invokeList(t *testing.T, request map[string]any) string {
	t.Helper()
	return result(t, p.invoke(t, "connect.invoke", request))
}

// outcomes invokes a service for each request and returns the statuses with the errors.
func (p *peer) outcomes(t *testing.T, request map[string]any) []string {
	t.Helper()
	var got struct {
		Responses []struct {
			Status int    `json:"status"`
			Error  string `json:"error"`
		} `json:"responses"`
	}
	require.NoError(t, json.Unmarshal([]byte(p.invokeList(t, request)), &got))
	var outcomes []string
	for _, r := range got.Responses {
		outcomes = append(outcomes, fmt.Sprint(r.Status, r.Error))
	}
	return outcomes
}

func TestParallelListAnswersWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		p := srv.connect(t, connectPath)
		began := time.Now()
		var requests []any
		for _, seconds := range []float64{0.5, 3, 0.2, 0.2, 3, 1} {
			requests = append(requests, map[string]float64{"seconds": seconds})
		}
		outcomes := p.outcomes(t, map[string]any{"service": "my.sleep", "requests": requests, "seconds": 1, "parallel": 2})
		assert.Equal(t, time.Second, time.Since(began))
		const late, not = "0not finished", "0not run"
		assert.Equal(t, []string{"200", late, "200", "200", late, not}, outcomes)
	})
}

func TestNoRequestOfAListBeginsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		p := srv.connect(t, connectPath)
		item := map[string]float64{"seconds": 2}
		request := map[string]any{"service": "my.sleep", "requests": []any{item, item, item, item}, "start_within": 3}
		for parallel, expected := range map[int]string{
			1: "[{200} {200} {0} {0}] 4", 2: "[{200} {200} {200} {200}] 4", 3: "[{200} {200} {200} {200}] 4",
		} {
			request["parallel"] = parallel
			var got struct {
				Responses []struct {
					Status int `json:"status"`
				} `json:"responses"`
				Duration float64 `json:"duration"`
			}
			require.NoError(t, json.Unmarshal([]byte(p.invokeList(t, request)), &got))
			assert.Equal(t, expected, fmt.Sprint(got.Responses, got.Duration), "parallel: %d", parallel)
		}
	})
}

func TestMaxBytesBoundsTheResponsesOfAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		p := srv.connect(t, connectPath)
		item := strings.Repeat("é", 1000) // 6,202 bytes
		const tooLarge = "The service has run. Its response has 6202 bytes, more than max_bytes"
		for _, one := range []struct {
			limit, parallel int
			expected        []string
		}{
			{20_000, 1, []string{"200", "200", "200", "0not run", "0not run"}},
			{20_000, 2, []string{"200", "200", "200", "0not run", "0not run"}},
			{20_000, 5, []string{"200", "200", "200", "413" + tooLarge, "413" + tooLarge}},
			{40_000, 5, []string{"200", "200", "200", "200", "200"}},
			{6000, 1, []string{"413" + tooLarge, "413" + tooLarge, "413" + tooLarge, "413" + tooLarge, "413" + tooLarge}},
		} {
			// Requests that run at the same time end in any order.
			assert.ElementsMatch(t, one.expected, p.outcomes(t, map[string]any{
				"service": "my.echo", "requests": []any{item, item, item, item, item},
				"max_bytes": one.limit, "parallel": one.parallel,
			}), "%d bytes, %d parallel", one.limit, one.parallel)
		}
	})
}

func TestFailuresOfAListAreThoseOfTheItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t, wsxtest.WithService("my.teapot",
			func(context.Context, wsxtest.Invocation) (any, error) {
				return nil, &wsxtest.StatusError{Status: 418, Message: "short"}
			}))
		p := srv.connect(t, connectPath)
		for service, expected := range map[string]string{
			"my.teapot":      `"status": 418, "error": "short"`,
			"zato.ping":      `"pong": "zato"`,
			"connect.invoke": `"status": 403, "error": "not allowed"`,
		} {
			answer := p.invokeList(t, map[string]any{"service": service, "requests": []any{1}})
			assert.Contains(t, strings.Join(strings.Fields(answer), " "), expected, service)
		}
	})
}
