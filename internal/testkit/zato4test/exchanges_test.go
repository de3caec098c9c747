package zato4test_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/zato4test"
)

// timeout limits how long a test waits for an event.
const timeout = 20 * time.Second

// startRecorded starts a server with the objects of the one that was recorded.
func startRecorded(t *testing.T, options ...zato4test.Option) *zato4test.Server {
	t.Helper()
	return zato4test.Start(t, append([]zato4test.Option{
		zato4test.WithTopics("orders.new", "orders.second", "push.one", "nosub.one", "late.one"),
		zato4test.WithUser("zc4.pub", "secret", []string{"orders.*", "push.*", "nosub.*"}, nil),
		zato4test.WithUser("zc4.pull", "secret", nil, []string{"orders.*"}),
		zato4test.WithUser("zc4.push", "secret", nil, []string{"push.*"}),
		zato4test.WithUser("zc4.late", "secret", []string{"late.*"}, []string{"late.*"}),
		zato4test.WithUser("zc4.none", "secret", nil, nil),
		zato4test.WithUser("zc4.rest", "secret", nil, nil),
		zato4test.WithUser("admin.invoke", "secret", nil, nil),
		zato4test.WithUser("pipelines", "secret", []string{"orders.*"}, []string{"orders.*"}),
		zato4test.WithRetryDelays(time.Millisecond),
	}, options...)...)
}

func TestPublishAndGetAnswerAsRecorded(t *testing.T) {
	server := startRecorded(t,
		zato4test.WithSubscription("zc4.pull", "", "orders.new", "orders.second"),
		zato4test.WithSubscription("zc4.push", "http://127.0.0.1:1", "push.one"))
	var exchanges []*exchange
	for _, e := range recorded(t, "publish.", "get.") {
		if e.Name != "get.cut-connection" && e.Name != "get.eight-at-once" { // the next tests
			exchanges = append(exchanges, e)
		}
	}
	replay(t, server, exchanges, map[string]func(){
		"get.1000-mixed-priorities": func() {
			for i := range 1000 {
				server.Publish("orders.new", fmt.Sprintf("m%04d", i), zato4test.Message{Priority: (i + 1) % 10})
			}
		},
		"get.max_len-too-small": func() { server.Publish("orders.new", strings.Repeat("x", 1000)) },
		"get.max_len-0":         func() { server.Publish("orders.new", strings.Repeat("y", 10)) },
	})
}

func TestGetForgetsTheMessagesEvenIfItsConnectionIsCut(t *testing.T) {
	server := startRecorded(t, zato4test.WithSubscription("zc4.pull", "", "orders.new"))
	for i := range 500 {
		server.Publish("orders.new", strconv.Itoa(i))
	}
	e := recorded(t, "get.cut-connection")[0]
	connection, err := net.Dial("tcp", server.Address)
	require.NoError(t, err)
	request := httptest.NewRequest(e.Request.Method, server.URL()+e.Request.Path, strings.NewReader(e.Request.Body))
	request.SetBasicAuth(e.Request.User, "secret")
	require.NoError(t, request.Write(connection))
	require.NoError(t, connection.Close())
	require.Eventually(t, func() bool { return server.Waiting("zc4.pull") == 0 }, timeout, time.Millisecond)
}

func TestGetsAtOnceReturnEachMessageAtLeastOnce(t *testing.T) {
	server := startRecorded(t, zato4test.WithSubscription("zc4.pull", "", "orders.new"))
	for i := range 2000 {
		server.Publish("orders.new", fmt.Sprintf("text %d", i))
	}
	e := recorded(t, "get.eight-at-once")[0]
	seen := map[string]int{}
	var mu sync.Mutex
	var getters sync.WaitGroup
	for range 8 {
		getters.Go(func() {
			for server.Waiting("zc4.pull") > 0 {
				_, answer, err := e.send(t, server)
				if !assert.NoError(t, err) { //nolint:testifylint // require needs the goroutine of the test
					return
				}
				mu.Lock()
				for _, text := range data.FindAllString(answer, -1) {
					seen[text]++
				}
				mu.Unlock()
			}
		})
	}
	getters.Wait()
	assert.Len(t, seen, 2000)
}

// endpoint is an HTTP server that Zato pushes to.
type endpoint struct {
	*httptest.Server

	bodies chan string // what was pushed
	answer chan int    // the status for each
}

func startEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{bodies: make(chan string), answer: make(chan int)}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.WriteHeader(http.StatusNotFound) // where a redirect leads
			return
		}
		var body strings.Builder
		_ = r.Write(&body)
		_, content, _ := strings.Cut(body.String(), "\r\n\r\n")
		select {
		case e.bodies <- content:
		case <-t.Context().Done():
			return
		}
		select {
		case status := <-e.answer:
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		case <-t.Context().Done():
		}
	}))
	t.Cleanup(e.Close)
	return e
}

func TestPushesAreThoseRecorded(t *testing.T) {
	groups := map[string][]*exchange{}
	for _, e := range recorded(t, "push.") {
		groups[e.Name] = append(groups[e.Name], e)
	}
	delete(groups, "push.server-killed") // TestKilledServerPushesAgain
	for name, pushes := range groups {
		t.Run(name, func(t *testing.T) {
			endpoint := startEndpoint(t)
			server := startRecorded(t, zato4test.WithSubscription("zc4.push", endpoint.URL+"/push", "push.one"))
			published := map[string]bool{}
			var first string
			for _, push := range pushes {
				if published[push.Request.Body] {
					continue
				}
				published[push.Request.Body] = true
				publication := exchange{}
				publication.Request.Method, publication.Request.Path = http.MethodPost, "/pubsub/topic/push.one"
				publication.Request.User, publication.Request.Body = "zc4.pub", push.Request.Body
				status, answer, err := publication.send(t, server)
				require.NoError(t, err)
				require.Equal(t, http.StatusOK, status, answer)
				if first == "" { // holds up the others, so that their order is certain
					first = <-endpoint.bodies
				}
			}
			var expected, pushed []string
			for i, push := range pushes {
				expected = append(expected, normalize(push.Request.Body))
				body := first
				if i > 0 {
					body = <-endpoint.bodies
				}
				pushed = append(pushed, normalize(body))
				endpoint.answer <- push.Status
			}
			if name == "push.ok" { // they were pushed while they were published
				assert.ElementsMatch(t, expected, pushed)
			} else {
				assert.Equal(t, expected, pushed)
			}
		})
	}
}

func TestRetryDelaysAreThoseRecorded(t *testing.T) {
	pushes := recorded(t, "push.500")
	for i, delay := range zato4test.RetryDelays() {
		assert.InDelta(t, pushes[i+1].At-pushes[i].At, delay.Seconds(), 0.1)
	}
}

func TestKilledServerPushesAgain(t *testing.T) {
	endpoint := startEndpoint(t)
	server := startRecorded(t, zato4test.WithSubscription("zc4.push", endpoint.URL+"/push", "push.one"))
	for i := range 200 {
		server.Publish("push.one", strconv.Itoa(i))
	}
	seen, repeated := map[string]bool{}, 0
	for n := 1; len(seen) < 200; n++ {
		body := <-endpoint.bodies
		if seen[body] {
			repeated++
		}
		seen[body] = true
		endpoint.answer <- http.StatusOK
		if n == 74 {
			server.Kill()
			server.Restart()
		}
	}
	assert.Positive(t, repeated)
	assert.LessOrEqual(t, repeated, 50, "it acknowledges in batches of 50")
}

func TestChannelsAnswerAsRecorded(t *testing.T) {
	server := startRecorded(t,
		zato4test.WithChannel("/customer/get", "zc4.rest", customer),
		zato4test.WithChannel("/zz/echo", "zc4.rest", echo),
		zato4test.WithInvocable("zz.customer.get", customer),
		zato4test.WithInvocable("pubsub.rest.publish", func([]byte) (any, error) {
			return map[string]any{"is_ok": false, "details": "Authentication required", "status": "401 Unauthorized"}, nil
		}))
	replay(t, server, recorded(t, "channel.", "subscribe.", "ping", "invoke."), nil)
}

// customer is the service zz.customer.get of the recorded server.
func customer(body []byte) (any, error) {
	var request struct {
		ID any `json:"customer_id"`
	}
	switch err := json.Unmarshal(body, &request); {
	case err != nil || request.ID == nil:
		return nil, errors.New("Missing required input element: customer_id")
	case request.ID == 13.0:
		return nil, errors.New("no such customer: 13")
	}
	return map[string]any{"customer_id": request.ID, "name": fmt.Sprintf("Name of %v", request.ID), "city": "Prague"}, nil
}

// echo is the service zz.echo of the recorded server.
func echo(body []byte) (any, error) {
	var payload any
	kind := "bytes"
	if json.Unmarshal(body, &payload) != nil {
		payload = string(body)
	} else {
		kind = map[bool]string{true: "int", false: "list"}[payload == 5.0]
	}
	return map[string]any{"type": kind, "raw_type": "bytes", "payload": payload}, nil
}

func TestSubscriptionMadeLateAnswersAsRecorded(t *testing.T) {
	exchanges := recorded(t, "late.")
	var server *zato4test.Server
	var options []zato4test.Option
	for _, e := range exchanges {
		name, isInvoke := strings.CutPrefix(e.Request.Path, "/zato/api/invoke/")
		if !isInvoke {
			continue
		}
		options = append(options, zato4test.WithInvocable(name, func(body []byte) (any, error) {
			if strings.Contains(string(body), `{\"topic_name\"`) {
				var failure struct {
					Details string `json:"details"`
				}
				require.NoError(t, json.Unmarshal([]byte(*exchanges[4].Response), &failure))
				return nil, errors.New(failure.Details)
			}
			if name == "zato.pubsub.subscription.create" {
				server.Subscribe("zc4.late", "late.one")
			}
			return json.RawMessage(*e.Response), nil
		}))
	}
	server = startRecorded(t, options...)
	replay(t, server, exchanges, nil)
}

func TestGatewayAnswersAsRecorded(t *testing.T) {
	server := startRecorded(t, zato4test.WithSubscription("pipelines", "", "orders.new"))
	replay(t, server, recorded(t, "gateway."), nil)
}
