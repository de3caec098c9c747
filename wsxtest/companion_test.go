package wsxtest_test

import (
	"encoding/json"
	"maps"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// connectPath is the path of the channel on a gateway with the companion.
const connectPath = "/connect"

// startConnectServer starts a server with a gateway of the kind Connect, and a second
// one of another endpoint. Neither sends pings while a test runs.
func startConnectServer(t *testing.T, options ...wsxtest.Option) *testServer {
	t.Helper()
	credentials := wsxtest.Channel{Username: "user1", Secret: "secret1", Gateway: wsxtest.Connect, PingInterval: time.Hour}
	own, other := credentials, credentials
	own.Path, own.NoSubscribe = connectPath, []string{"/no/right"}
	other.Path = "/other"
	return startServer(t, append(options, wsxtest.WithChannel(own), wsxtest.WithChannel(other),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/no/right"}))...)
}

// consumer is a connection that fetches from one subscription.
type consumer struct {
	*peer

	subKey string
	holder *string
}

// subscribed is the answer of connect.subscribe.
type subscribed struct {
	SubKey    string  `json:"sub_key"`
	Holder    *string `json:"holder"`
	Created   bool    `json:"created"`
	GivenBack int     `json:"given_back"`
}

// fetched is the answer of connect.fetch.
type fetched struct {
	Messages []struct {
		MsgID         string          `json:"msg_id"`
		Data          json.RawMessage `json:"data"`
		Priority      int             `json:"priority"`
		PubTime       string          `json:"pub_time"`
		Expiration    int64           `json:"expiration"`
		DeliveryCount int             `json:"delivery_count"`
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

func (f fetched) counts() []int {
	counts := []int{}
	for _, m := range f.Messages {
		counts = append(counts, m.DeliveryCount)
	}
	return counts
}

func (s *testServer) connect(t *testing.T, path string) *peer {
	t.Helper()
	return dial(t, s.Server, path, s.network).logIn(t, nil)
}

// subscribeByName subscribes on a new connection. The request has more fields than the
// topic and the name.
func (s *testServer) subscribeByName(t *testing.T, request map[string]any) (*consumer, subscribed) {
	t.Helper()
	c := &consumer{peer: s.connect(t, connectPath)}
	return c, c.subscribeAgain(t, request)
}

func named(request map[string]any) map[string]any {
	named := map[string]any{"topic_name": "/my/topic.gd", "name": "archiver"}
	maps.Copy(named, request)
	return named
}

func (c *consumer) subscribeAgain(t *testing.T, request map[string]any) subscribed {
	t.Helper()
	var answer subscribed
	companionResult(t, c.invoke(t, "connect.subscribe", named(request)), &answer)
	c.subKey, c.holder = answer.SubKey, answer.Holder
	return answer
}

// companionResult decodes the answer of a service of the companion.
func companionResult(t *testing.T, f frame, into any) {
	t.Helper()
	require.Equal(t, 200, f.Meta.Status, f.Meta.ErrorMessage)
	var data struct {
		Response struct {
			Result json.RawMessage `json:"zato_gateway_response"`
		} `json:"response"`
	}
	require.NoError(t, json.Unmarshal(f.Data, &data))
	require.NoError(t, json.Unmarshal(data.Response.Result, into), "%s", f.Data)
}

func (c *consumer) request(extra map[string]any) map[string]any {
	request := map[string]any{"sub_key": c.subKey, "holder": c.holder}
	maps.Copy(request, extra)
	return request
}

func (c *consumer) fetch(t *testing.T, extra map[string]any) fetched {
	t.Helper()
	var answer fetched
	companionResult(t, c.invoke(t, "connect.fetch", c.request(extra)), &answer)
	return answer
}

// requireRefused requires a response with a status and an error message.
func requireRefused(t *testing.T, f frame, status int, message string) {
	t.Helper()
	require.Equal(t, []any{status, message}, []any{f.Meta.Status, f.Meta.ErrorMessage})
}

const taken = "Another consumer has this subscription now"

func (s *testServer) publishMany(t *testing.T, n int) []string {
	t.Helper()
	ids := []string{}
	for i := range n {
		ids = append(ids, publish(t, s, "/my/topic.gd", strconv.Itoa(i), wsxtest.PublishOptions{}))
	}
	return ids
}

func TestConnectGatewayDescribesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		p := srv.connect(t, connectPath)
		for _, request := range []any{nil, map[string]any{}} {
			var got struct {
				Name     string         `json:"name"`
				Version  int            `json:"version"`
				Can      []string       `json:"can"`
				Limits   map[string]int `json:"limits"`
				Services []string       `json:"services"`
			}
			companionResult(t, p.invoke(t, "connect.describe", request), &got)
			assert.Equal(t, []any{"zato-connect", 1}, []any{got.Name, got.Version})
			assert.Subset(t, got.Can, []string{"subscribe-durable", "resume", "fetch", "fetch-in-memory", "subscriptions"})
			assert.Equal(t, map[string]int{
				"fetch_messages": 2000, "fetch_seconds": 20, "ids": 2000,
				"publish_messages": 2000, "invoke_requests": 1000, "invoke_seconds": 20,
			}, got.Limits)
			assert.Contains(t, got.Services, "my.echo")
		}
		for _, service := range []string{"connect.describe", "connect.subscribe", "connect.fetch"} {
			f := srv.login(t).invoke(t, service, nil)
			assert.Equal(t, 403, f.Meta.Status, "a patched gateway has %s", service)
		}
	})
}

func TestNamedSubscriptionsSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		ids := srv.publishMany(t, 2)
		require.Equal(t, ids[:1], c.fetch(t, map[string]any{"max": 1}).ids())
		srv.Stop()
		require.NoError(t, srv.Restart())
		c.peer = srv.connect(t, connectPath)
		assert.Equal(t, ids[1:], c.fetch(t, nil).ids(), "the holder is known, and has the first message")
		got := c.subscribeAgain(t, map[string]any{"holder": c.holder})
		assert.Equal(t, 2, got.GivenBack)
		assert.Equal(t, []int{2, 2}, c.fetch(t, nil).counts())
	})
}

func TestInvocationsOfAServiceFailOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		ids := srv.publishMany(t, 1)
		srv.FailInvocations("connect.fetch", 2)
		srv.FailInvocations("my.echo", -1)
		for range 2 {
			requireRefused(t, c.invoke(t, "connect.fetch", c.request(nil)), 500, "Internal server error")
			requireRefused(t, c.invoke(t, "my.echo", 1), 500, "Internal server error")
		}
		assert.Equal(t, ids, c.fetch(t, nil).ids())
		requireRefused(t, c.invoke(t, "my.echo", 1), 500, "Internal server error")
		srv.FailInvocations("my.echo", 0)
		assert.Equal(t, "1", result(t, c.invoke(t, "my.echo", 1)))
	})
}

func TestNamesBelongToTheEndpointAndTheTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		other := &consumer{peer: srv.connect(t, "/other")}
		assert.True(t, other.subscribeAgain(t, nil).Created)
		assert.True(t, (&consumer{peer: c.peer}).subscribeAgain(t, map[string]any{"topic_name": "/my/topic"}).Created)
		other.subKey = c.subKey
		const forbidden = "You are not allowed to access this resource"
		stolen := other.request(map[string]any{"confirmed": srv.publishMany(t, 1), "max": "many"})
		requireRefused(t, other.invoke(t, "connect.fetch", stolen), 403, forbidden)
		assert.Len(t, c.fetch(t, nil).ids(), 1, "nothing was confirmed")
		requireRefused(t, c.invoke(t, "connect.subscribe", named(map[string]any{"topic_name": "/no/right"})), 403, forbidden)
	})
}

func TestSubscriptionsAreListedAndDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		other := &consumer{peer: srv.connect(t, "/other")}
		other.subscribeAgain(t, nil)
		other.subscribeAgain(t, map[string]any{"topic_name": "/my/topic", "name": "team", "shared": true})
		srv.publishMany(t, 3)
		c.fetch(t, map[string]any{"max": 1})
		<-time.After(90 * time.Second)
		list := func(c *consumer, filter map[string]any) string {
			return result(t, c.invoke(t, "connect.subscriptions", filter))
		}
		assert.JSONEq(t, `{"subscriptions":[{"topic_name":"/my/topic.gd","name":"archiver","shared":false,"waiting":2,`+
			`"unconfirmed":1,"consumer":{"client_id":"me","client_name":"Me"},"idle":90}]}`, list(c, nil))
		const team = `{"subscriptions":[{"topic_name":"/my/topic","name":"team","shared":true,"waiting":0,` +
			`"unconfirmed":0,"consumer":null,"idle":90}]}`
		assert.JSONEq(t, team, list(other, map[string]any{"name": "team"}))
		assert.JSONEq(t, team, list(other, map[string]any{"topic_name": "/my/topic", "name": nil}))
		assert.JSONEq(t, `{"subscriptions":[]}`, list(c, map[string]any{"name": "team"}))

		waiting := c.sendInvocation(t, "connect.fetch", c.request(map[string]any{"max": 2}))
		require.Equal(t, waiting, c.frame(t).Meta.InReplyTo)
		c.sendInvocation(t, "connect.fetch", c.request(map[string]any{"wait": 20}))
		synctest.Wait()
		again, _ := json.Marshal(named(nil))
		p := srv.connect(t, connectPath)
		assert.JSONEq(t, `{"waiting":3}`, result(t, p.invoke(t, "connect.unsubscribe", json.RawMessage(again))))
		const missing = "No such subscription"
		requireRefused(t, c.frame(t), 404, missing)
		requireRefused(t, p.invoke(t, "connect.unsubscribe", json.RawMessage(again)), 404, missing)
		requireRefused(t, c.invoke(t, "connect.fetch", c.request(nil)), 404, missing)
		assert.Len(t, srv.Subscriptions(), 2)
	})
}

func TestBadRequestsNameTheField(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		c, _ := srv.subscribeByName(t, nil)
		for _, bad := range []struct {
			service string
			request map[string]any
			status  int
			field   string
		}{
			{"connect.subscribe", map[string]any{}, 400, "topic_name is missing"},
			{"connect.subscribe", named(map[string]any{"name": nil}), 400, "A subscription needs a name"},
			{"connect.subscribe", named(map[string]any{"name": 7}), 400, "name must be a text of 1 to 200 characters"},
			{"connect.subscribe", map[string]any{"topic_name": "/my/topic"}, 400, "A subscription needs a name"},
			{"connect.subscribe", map[string]any{"topic_name": 7, "name": "n"}, 400, "topic_name"},
			{"connect.subscribe", map[string]any{"topic_name": "/no/such", "name": "n"}, 404, "No such topic `/no/such`"},
			{"connect.subscribe", named(map[string]any{"name": string(make([]rune, 201))}), 400, "name"},
			{"connect.subscribe", named(map[string]any{"shared": "yes"}), 400, "shared"},
			{"connect.subscribe", named(map[string]any{"if_idle": -1}), 400, "if_idle"},
			{"connect.fetch", map[string]any{}, 400, "sub_key"},
			{"connect.fetch", map[string]any{"sub_key": "zpsk.wsx.no.1"}, 404, "No such subscription"},
			{"connect.fetch", c.request(map[string]any{"max": "x"}), 400, "max"},
			{"connect.fetch", c.request(map[string]any{"max": -1}), 400, "max"},
			{"connect.fetch", c.request(map[string]any{"max_bytes": 0}), 400, "max_bytes must be a whole number, at least 1"},
			{"connect.fetch", c.request(map[string]any{"max": 1.5}), 400, "max must be a whole number, at least 0"},
			{"connect.fetch", c.request(map[string]any{"wait": -1}), 400, "wait"},
			{"connect.fetch", c.request(map[string]any{"lease": 0.5}), 400, "lease must be a number from 1 to 3600"},
			{"connect.fetch", c.request(map[string]any{"wait": 2e9}), 400, "wait must be a number from 0 to 1e+09"},
			{"connect.fetch", c.request(map[string]any{"confirmed": []any{1}}), 400, "confirmed"},
			{"connect.fetch", c.request(map[string]any{"returned": make([]string, 2001)}), 400, "returned"},
			{"connect.unsubscribe", map[string]any{"topic_name": "/my/topic"}, 400, "name"},
			{"connect.unsubscribe", map[string]any{"name": "n"}, 400, "topic_name"},
			{"connect.subscriptions", map[string]any{"name": 1}, 400, "name"},
		} {
			f := c.invoke(t, bad.service, bad.request)
			assert.Equal(t, bad.status, f.Meta.Status, "%s %v", bad.service, bad.request)
			assert.Contains(t, f.Meta.ErrorMessage, bad.field, "%s %v", bad.service, bad.request)
		}
		nothing := map[string]any{"max": nil, "wait": nil, "max_bytes": nil, "lease": nil, "confirmed": nil, "unknown": 1}
		assert.Empty(t, c.fetch(t, nothing).ids(), "null is the default, and unknown fields are ignored")
	})
}

func TestStockServicesWorkOnAConnectGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t)
		p := srv.connect(t, connectPath)
		key := p.subscribe(t, "/my/topic.gd", map[string]any{"unsub_on_wsx_close": false})
		p.close(t)
		ids := srv.publishMany(t, 1)
		p = srv.connect(t, connectPath)
		result(t, p.invoke(t, serviceResume, map[string]any{"sub_key": key}))
		assert.Equal(t, ids[0], p.messages(t)[0].MsgID)
	})
}

func TestMakingASubscriptionTakesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startConnectServer(t, wsxtest.WithCreationDelay(700*time.Millisecond))
		began := time.Now()
		ids := srv.publishMany(t, 1)
		c, _ := srv.subscribeByName(t, nil)
		assert.Equal(t, 700*time.Millisecond, time.Since(began))
		srv.subscribeByName(t, nil)
		assert.Equal(t, 700*time.Millisecond, time.Since(began), "it exists")
		_, err := srv.Publish("/my/topic.gd", 1, wsxtest.PublishOptions{})
		require.NoError(t, err)
		c.subscribeAgain(t, nil)
		assert.Len(t, c.fetch(t, nil).ids(), 2)
		assert.Len(t, ids, 1, "the first subscription gets what waited in the topic")
	})
}
