package input_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	_ "github.com/zato-connect/zato-connect/processor"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// answerPipeline returns a pipeline that answers requests, with extra fields of the input.
func answerPipeline(server *wsxtest.Server, processors string, extra ...string) string {
	fields := append([]string{connectionField(server, "answerer")}, extra...)
	return "input: { zato_wsx_requests: { " + strings.Join(fields, ", ") + " } }\n" +
		"pipeline: { threads: 64, processors: [ " + processors + " ] }\noutput: { collect: {} }"
}

func connectionField(server *wsxtest.Server, clientID string) string {
	return fmt.Sprintf("connection: { address: %s, username: user1, secret: secret1, client_id: %s, timeout: 2s, "+
		"backoff: { max_interval: 50ms } }", server.URL(patched), clientID)
}

const respond = "sync_response: {}"

// requestAsync sends a request as soon as the client is connected, and returns a channel for the answer.
func requestAsync(t *testing.T, server *wsxtest.Server, data any) <-chan string {
	t.Helper()
	answered := make(chan string, 1)
	go func() {
		for t.Context().Err() == nil {
			answer, err := server.Request(t.Context(), "answerer", data, 5*time.Second)
			if err == nil {
				answered <- string(answer)
				return
			}
			<-time.After(5 * time.Millisecond)
		}
	}()
	return answered
}

// request sends a request and returns the answer.
func request(t *testing.T, server *wsxtest.Server, data any) string {
	t.Helper()
	select {
	case answer := <-requestAsync(t, server, data):
		return answer
	case <-time.After(streamtest.Timeout):
		require.Fail(t, "no answer")
		return ""
	}
}

// failure is the expected answer if that is an error.
const failure = "failure"

func TestPipelineAnswersRequests(t *testing.T) {
	server := startServer(t)
	for name, c := range map[string]struct{ processors, request, answer string }{
		"with an object":           {"{ mapping: 'root.m = this.n * 2' }, { " + respond + " }", `{"n": 21}`, `{"m": 42}`},
		"with a text":              {"{ mapping: 'root = content().uppercase()' }, { " + respond + " }", `"text"`, `"TEXT"`},
		"with an exact number":     {"{ " + respond + " }", `12345678901234567890.5`, `12345678901234567890.5`},
		"to an empty request":      {"{ mapping: 'root = content().length()' }, { " + respond + " }", `null`, `0`},
		"with null by default":     {"{ mapping: 'root = 1' }", `1`, `null`},
		"with the last response":   {"{ " + respond + " }, { mapping: 'root = 2' }, { " + respond + " }", `1`, `2`},
		"with a list":              {"{ unarchive: {format: json_array} }, { " + respond + " }", `[1, {}]`, `[1, {}]`},
		"in one line":              {"{ mapping: 'root = content().length()' }, { " + respond + " }", `{"b": [1.50]}`, `12`},
		"with a failure":           {"{ mapping: 'root = throw(\"broken\")' }, { " + respond + " }", `1`, failure},
		"with an error if invalid": {"{ mapping: 'root = \"ff\".decode(\"hex\")' }, { " + respond + " }", `1`, failure},
	} {
		t.Run(name, func(t *testing.T) {
			s := streamtest.Start(t, answerPipeline(server, c.processors))
			answer := requestAsync(t, server, json.RawMessage(c.request))
			s.Next()
			got := <-answer
			if c.answer == failure {
				assert.Regexp(t, `^\{"error":"(.*broken.*|.*not valid UTF-8.*)"\}$`, got)
			} else {
				assert.JSONEq(t, c.answer, got)
			}
			s.Stop(streamtest.Timeout)
			require.Eventually(t, func() bool { return server.Connections() == 0 }, streamtest.Timeout, time.Millisecond)
		})
	}
}

func TestNoRequestOfABatchIsAnsweredWithTheAnswerOfAnother(t *testing.T) {
	server := startServer(t)
	fields := "zato_wsx_requests: { " + connectionField(server, "answerer") + " }"
	const answering = "\npipeline: { threads: 1, processors: [ { mapping: 'root = content().uppercase()' }, { " + respond +
		" } ] }\noutput: { drop: {} }"
	for name, input := range map[string]string{
		"broker":  "broker: { inputs: [ { " + fields + " } ], batching: { count: 2 } }",
		"batched": "batched: { child: { " + fields + " }, policy: { count: 2 } }",
	} {
		streamtest.Start(t, "input: { "+input+" }"+answering)
		first, second := requestAsync(t, server, "a"), requestAsync(t, server, "b")
		answers := <-first + " " + <-second
		assert.Contains(t, answers, "several requests are in one batch", name)
		assert.NotRegexp(t, `"[AB]"`, answers, name)
	}
}

func TestRejectedRequestIsAnsweredWithTheErrorAndNotRetried(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, answerPipeline(server, "{ "+respond+" }"))
	answer := requestAsync(t, server, 1)
	s.Reject(errors.New("not today"))
	assert.JSONEq(t, `{"error": "not today"}`, <-answer)
	answer = requestAsync(t, server, 2)
	assert.Equal(t, []string{"2"}, s.NextTexts(1), "the first request is not retried")
	assert.Equal(t, "2", <-answer)
	assert.Len(t, server.Responses(), 2, "each request is answered once")
}

func TestRequestMessageHasTheRequestID(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, answerPipeline(server, ""))
	answer := requestAsync(t, server, 1)
	id, ok := s.Next()[0].MetaGet("zato_request_id")
	assert.True(t, ok)
	<-answer
	assert.Equal(t, server.Responses()[0].InReplyTo, id)
}

func TestBroadcastIsAnsweredByThePipeline(t *testing.T) {
	server := startServer(t)
	processors := `{ mapping: 'root = { "for": @zato_request_id, "all": this.all }' }, { ` + respond + " }"
	streamtest.Start(t, strings.Replace(answerPipeline(server, processors), "collect: {}", "drop: {}", 1))
	request(t, server, map[string]int{"all": 1}) // the client is connected
	server.Broadcast(map[string]int{"all": 2}, streamtest.Timeout)
	responses := server.Responses()
	require.Len(t, responses, 2)
	last := responses[1]
	assert.JSONEq(t, fmt.Sprintf(`{"for": %q, "all": 2}`, last.InReplyTo), string(last.Response))
}

func TestSlowPipelineAnswersWithATimeout(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, answerPipeline(server, "{ "+respond+" }", "timeout: 100ms"))
	answer := requestAsync(t, server, 1) // the pipeline is blocked
	assert.Regexp(t, `^\{"error":"no answer within 100ms.*"\}$`, <-answer)
	s.Next() // the pipeline goes on, too late
	s.AwaitMetricValue(`zato_wsx_requests{label="",path="root.input",result="timed_out"}`, 1)
	s.AwaitMetricValue(`zato_wsx_requests_answered_late{label="",path="root.input"}`, 1)
	assert.Len(t, server.Responses(), 1, "the late answer is dropped")
}

func TestWaitingRequestIsAnsweredWithATimeout(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, answerPipeline(server, "{ "+respond+" }", "timeout: 200ms", "max_in_flight: 1"))
	first, second := requestAsync(t, server, 1), requestAsync(t, server, 2)
	assert.Contains(t, <-first, "no answer within")
	assert.Contains(t, <-second, "no answer within")
	s.Next() // the one in the pipeline
}

func TestLostConnectionCancelsTheRequestAndTheNextOneServes(t *testing.T) {
	started := make(chan struct{}, 1)
	server := startServer(t, wsxtest.WithService("slow", func(ctx context.Context, _ wsxtest.Invocation) (any, error) {
		started <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	call := "{ zato_wsx: { " + connectionField(server, "caller") + ", service: slow, timeout: 1h } }"
	s := streamtest.Start(t, answerPipeline(server,
		"{ switch: [ { check: 'this == 1', processors: [ "+call+" ] } ] }, { "+respond+" }"))
	answer := requestAsync(t, server, 1)
	<-started
	server.CutClient("answerer")
	assert.Equal(t, "null", <-answer)
	failed := s.Next()[0] // long before the timeout of an hour
	require.ErrorContains(t, failed.GetError(), "context canceled")
	s.AwaitMetricValue(`zato_wsx_requests{label="",path="root.input",result="cancelled"}`, 1)

	s.AwaitMetricValue(`input_connection_lost{label="",path="root.input"}`, 1)
	again := requestAsync(t, server, 2)
	s.Next()
	assert.Equal(t, "2", <-again)
}

func TestInputsWithEqualSettingsShareASession(t *testing.T) {
	server := startServer(t)
	input := "{ zato_wsx_requests: { " + connectionField(server, "answerer") +
		" }, processors: [ { mapping: 'root = \"%s\"' }, { " + respond + " } ] }"
	inputs := fmt.Sprintf(input, "a") + ", " + fmt.Sprintf(input, "b")
	s := streamtest.Start(t, "input: { broker: { inputs: [ "+inputs+" ] } }\noutput: { collect: {} }")
	counts := map[string]int{}
	for range 10 {
		answer := requestAsync(t, server, 1)
		s.Next()
		counts[<-answer]++
	}
	assert.Equal(t, map[string]int{`"a"`: 5, `"b"`: 5}, counts, "the inputs take turns")
	assert.Equal(t, 1, server.SessionsOpened())
}

func TestConnectionsOfOtherComponentsRejectRequests(t *testing.T) {
	server := startServer(t)
	streamtest.Start(t, "input: { feed: {} }\n"+
		"output: { zato_wsx: { "+connectionField(server, "answerer")+", topic: "+topic+" } }")
	assert.Contains(t, request(t, server, 1), "is not for requests")
}

func TestStoppedPipelineRejectsWaitingRequests(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, answerPipeline(server, "{ "+respond+" }", "max_in_flight: 1"))
	first, second := requestAsync(t, server, 1), requestAsync(t, server, 1)
	s.Next()
	s.Next()
	assert.Equal(t, "1 1", <-first+" "+<-second)
	third := requestAsync(t, server, 3)
	require.Eventually(t, func() bool { return server.Connections() > 0 }, streamtest.Timeout, time.Millisecond)
	s.Stop(streamtest.Timeout)
	select {
	case answer := <-third:
		assert.NotEqual(t, "3", answer)
	default: // the client has disconnected
	}
}

func TestResponsesAreSentToZatoIfConfigured(t *testing.T) {
	server := startServer(t, wsxtest.WithDeliveryInterval(200*time.Millisecond))
	yaml := receiver(server, patched, "respond_to_messages: true") +
		"\npipeline: { processors: [ { mapping: 'root = content().uppercase()' }, { " + respond + " } ] }"
	s := streamtest.Start(t, yaml)
	subscribed(t, server)
	publish(t, server, "a", "b")
	s.Next()
	publish(t, server, "c")
	assert.Equal(t, []string{"C"}, streamtest.Texts(t, s.Reject(errors.New("not yet"))))
	assert.Equal(t, []string{"C"}, s.NextTexts(1))
	require.Eventually(t, func() bool { return len(server.Responses()) > 0 }, streamtest.Timeout, time.Millisecond)
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, s.Log(), "No response went to Zato")
	responses := server.Responses()
	require.Len(t, responses, 1, "neither messages that arrive together nor rejected ones get a response")
	assert.Equal(t, `"C"`, string(responses[0].Response))
	assert.Equal(t, server.Published()[2].ID, responses[0].InReplyTo)
}

func TestRequestsExamplesPassTheLinterAndErrorsNameTheField(t *testing.T) {
	t.Setenv("ZATO_WSX_USERNAME", "u")
	t.Setenv("ZATO_WSX_SECRET", "s")
	streamtest.LintExamples(t, "zato_wsx_requests", service.NewEnvironment().WalkInputs)
	for field, fields := range map[string]string{"timeout": "timeout: 0s", "max_in_flight": "max_in_flight: 0"} {
		err := streamtest.BuildError(t, "input: { zato_wsx_requests: { connection: { address: 'ws://h/p' }, "+fields+" } }\n"+
			"output: { drop: {} }")
		require.ErrorContains(t, err, "field "+field)
	}
	server := startServer(t)
	for _, extra := range []string{"", "extract_tracing_map: 'root = @'"} {
		assert.Equal(t, []error{nil}, streamtest.New(t, strings.Replace(
			answerPipeline(server, "", extra), "collect: {}", "drop: {}", 1)).ConnectionTests()[:1])
	}
}
