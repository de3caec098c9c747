package output_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/output"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func startServer(t *testing.T, options ...wsxtest.Option) *wsxtest.Server {
	t.Helper()
	server := wsxtest.NewServer(append(options, wsxtest.WithTranscriptServer(), wsxtest.WithFrameRecorder(10_000))...)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	return server
}

// publisher returns a pipeline that publishes the messages that it is fed.
func publisher(server *wsxtest.Server, fields ...string) string {
	all := append([]string{
		fmt.Sprintf("connection: { address: %s, username: user1, secret: secret1, timeout: 2s, "+
			"backoff: { max_interval: 50ms } }",
			server.URL("/my.wsx")),
	}, fields...)
	return "input: { feed: {} }\noutput: { zato_wsx: { " + strings.Join(all, ", ") + " } }"
}

const topic = "topic: /my/topic"

// publishRequests returns the requests to publish that the server received.
func publishRequests(server *wsxtest.Server) []string {
	var out []string
	for _, f := range server.Frames() {
		if f.FromClient && strings.Contains(string(f.Payload), "publish-message") {
			out = append(out, string(f.Payload))
		}
	}
	return out
}

func TestContentIsPublishedAsText(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, publisher(server, topic))
	for _, content := range []string{"text", `{"n": 12345678901234567890}`, "żółć 😀 \"q\" \\ \n"} {
		require.NoError(t, s.AwaitAck(s.Feed(content)))
	}
	published := server.Published()
	require.Len(t, published, 3)
	assert.Contains(t, publishRequests(server)[1], `"data":"{\"n\": 12345678901234567890}"`)
}

func TestEveryFieldIsInterpolatedAndSent(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, publisher(server,
		`topic: '/my/${! json("t") }'`, `priority: '${! json("p") }'`, `expiration: '${! 30 * 2 }'`,
		`mime_type: '${! "text/" + "csv" }'`, `correl_id: '${! json("c") }'`, `in_reply_to: '${! "r-" + "1" }'`,
		`ext_client_id: '${! "e-" + "1" }'`, `ext_pub_time: '${! "2026-01-02T03:04:05" }'`, `has_gd: '${! json("g") }'`))
	require.NoError(t, s.AwaitAck(s.Feed(`{"t": "topic2", "p": 7, "c": "c-1", "g": false}`)))
	for _, part := range []string{
		`"topic_name":"/my/topic2"`, `"priority":7`, `"expiration":60`, `"mime_type":"text/csv"`, `"correl_id":"c-1"`,
		`"in_reply_to":"r-1"`, `"ext_client_id":"e-1"`, `"ext_pub_time":"2026-01-02T03:04:05"`, `"has_gd":false`,
	} {
		assert.Contains(t, publishRequests(server)[0], part)
	}
	require.NoError(t, s.AwaitAck(s.Feed(`{"t": "topic", "p": "", "c": "", "g": ""}`)))
	assert.NotContains(t, publishRequests(server)[1], "priority")
	assert.NotContains(t, publishRequests(server)[1], "has_gd")
}

func TestInvalidMessageIsRejectedUnsent(t *testing.T) {
	for expected, c := range map[string]struct{ field, content string }{
		`priority: is 99`:               {`priority: '${! 99 }'`, "x"},
		`priority: is "high"`:           {`priority: '${! "high" }'`, "x"},
		`priority: is "0"`:              {`priority: '${! 0 }'`, "x"},
		`expiration: is "soon"`:         {`expiration: '${! "soon" }'`, "x"},
		`expiration: is "-1"`:           {`expiration: '${! -1 }'`, "x"},
		`expiration: is "0"`:            {`expiration: '${! 0 }'`, "x"},
		`correl_id: has 201 characters`: {`correl_id: '${! "x".repeat(201) }'`, "x"},
		`in_reply_to: has 201 `:         {`in_reply_to: '${! "x".repeat(201) }'`, "x"},
		`has_gd: is "maybe"`:            {`has_gd: '${! "maybe" }'`, "x"},
		`data: is empty`:                {"mime_type: ''", ""},
		`data: is not valid UTF-8`:      {"mime_type: ''", "\xff"},
		`correl_id: `:                   {`correl_id: '${! throw("no id") }'`, "x"},
		`correl_id: is not valid UTF-8`: {`correl_id: '${! "/w==".decode("base64") }'`, "x"},
	} {
		server := startServer(t)
		s := streamtest.Start(t, publisher(server, topic, c.field))
		err := s.AwaitAck(s.Feed(c.content))
		require.ErrorContains(t, err, expected)
		require.ErrorContains(t, err, `publishing to topic "/my/topic"`)
		assert.Empty(t, publishRequests(server), expected)
		assert.Equal(t, 1, strings.Count(s.Log(), "Failed to send message"), "the output does not try again")
	}
	server := startServer(t)
	s := streamtest.Start(t, publisher(server, `topic: '${! "" }'`))
	require.ErrorContains(t, s.AwaitAck(s.Feed("x")), "topic: is empty")
}

func TestErrorOfTheServerHasItsCID(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, publisher(server, "topic: /no/such"))
	err := s.AwaitAck(s.Feed("x"))
	require.ErrorContains(t, err, `publishing to topic "/no/such"`)
	require.ErrorContains(t, err, "403 You are not allowed to access this resource (cid ")
	assert.Equal(t, 1, server.Invocations("zato.pubsub.pubapi.publish-message"), "only the engine sends a message again")
}

func TestMessageIsRejectedIfItsAnswerIsLost(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, publisher(server, topic, "retry_lost: false"))
	require.NoError(t, s.AwaitAck(s.Feed("warm")))
	server.CutBeforeResponse(1)
	require.ErrorContains(t, s.AwaitAck(s.Feed("x")), "connection lost before the answer came")
	assert.Len(t, server.Published(), 2, "Zato has it")
	require.NoError(t, s.AwaitAck(s.Feed("y")), "on the next connection")
}

func TestMessageIsSentAgainIfItsAnswerIsLost(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, publisher(server, topic))
	require.NoError(t, s.AwaitAck(s.Feed("warm")))
	server.CutBeforeResponse(1)
	require.NoError(t, s.AwaitAck(s.Feed("x")))
	assert.Len(t, server.Published(), 3, "Zato has x twice")
	assert.NotContains(t, s.Log(), "level=ERROR")
}

func TestMessageThatWasNotSentIsPublishedOnce(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, publisher(server, topic, "max_in_flight: 4"))
	require.NoError(t, s.AwaitAck(s.Feed("before")))
	server.Stop()
	s.AwaitLog("connection ended")
	acked := []<-chan error{s.Feed("1"), s.Feed("2"), s.Feed("3"), s.Feed("4")}
	s.AwaitMetricValue(`zato_wsx_calls_waiting{label="",path="root.output"}`, 4)
	require.NoError(t, server.Restart())
	for _, a := range acked {
		require.NoError(t, s.AwaitAck(a))
	}
	assert.Len(t, server.Published(), 5)
	assert.NotContains(t, s.Log(), "level=ERROR")
}

func TestMessageWaitsForAConnectionLongerThanItsTimeout(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, publisher(server, topic, "timeout: 100ms"))
	require.NoError(t, s.AwaitAck(s.Feed("before")))
	server.Stop()
	s.AwaitLog("connection ended")
	acked := s.Feed("meanwhile")
	s.AwaitLog("Failed to connect")
	require.NoError(t, server.Restart())
	require.NoError(t, s.AwaitAck(acked))
	assert.Len(t, server.Published(), 2)
}

func TestPublishingEndsWithTheTimeout(t *testing.T) {
	server := startServer(t)
	server.DropResponses(1)
	s := streamtest.Start(t, publisher(server, topic, "timeout: 200ms"))
	require.ErrorContains(t, s.AwaitAck(s.Feed("x")), "waiting for the answer")
}

func TestMaxInFlightPublishesInParallel(t *testing.T) {
	server := startServer(t)
	server.DelayResponses(200 * time.Millisecond)
	s := streamtest.Start(t, publisher(server, topic, "max_in_flight: 4"))
	require.NoError(t, s.AwaitAck(s.Feed("warm")))
	start := time.Now()
	require.NoError(t, s.AwaitAck(s.Feed("1", "2", "3", "4")))
	assert.Less(t, time.Since(start), 700*time.Millisecond, "one after the other they take 800 ms")
	assert.Greater(t, server.SessionsOpened(), 1)
}

func TestLinterAndParserRejectATimeoutOfZero(t *testing.T) {
	lints, err := service.NewEnvironment().NewComponentConfigLinter().LintOutputYAML(
		[]byte("zato_wsx: { connection: { address: 'ws://h/p' }, topic: /t, timeout: 0s }"))
	require.NoError(t, err)
	assert.Contains(t, fmt.Sprint(lints), "must be longer than zero")

	err = streamtest.BuildError(t, "input: { generate: { mapping: 'root = 1' } }\n"+
		"output: { zato_wsx: { connection: { address: 'ws://h/p' }, topic: /t, timeout: 0s } }")
	require.ErrorContains(t, err, "timeout")
}

func TestLinterAcceptsTheExamplesOfTheSpec(t *testing.T) {
	t.Setenv("ZATO_WSX_USERNAME", "u")
	t.Setenv("ZATO_WSX_SECRET", "s")
	streamtest.LintExamples(t, "zato_wsx", service.NewEnvironment().WalkOutputs)
}

func TestLinterConstructorAndCheckAgreeOnConstantFields(t *testing.T) {
	linter := service.NewEnvironment().NewComponentConfigLinter()
	for field, c := range map[string]struct {
		problem            string
		accepted, rejected []string
	}{
		"topic": {"topic: is empty", []string{"/t", "'${! \"\" }'", `"\n"`, "7", "'${{!x}}'"}, []string{"''", `""`}},
		"priority": {
			"use 1 to 9, or leave it empty",
			[]string{"''", "1", "9", `"5"`, "+7", "07", "'${! 11 }'", "'1${! 1 }'"},
			[]string{"0", "10", "11", `"11"`, "-1", "5.5", "high", "'${{!5}}'", "' 5'", "1e0", "true", `"5\n"`},
		},
		"expiration": {
			"use a whole number of seconds, from 1, or leave it empty",
			[]string{"''", "1", `"60"`, "999999999999999999", "'${! -1 }'"},
			[]string{"0", "-1", "60s", "1.5", "soon", "9999999999999999999", "1e3"},
		},
		"has_gd": {
			"use true or false, or leave it empty",
			[]string{"''", "true", "false", `"true"`, "'False'", "1", "'${! 2 }'"},
			[]string{"maybe", "'yes'", "2", "tRUE", "' true'"},
		},
		"msg_id": {
			"use an interpolation that differs for each message, or leave it empty",
			[]string{"''", "'${! uuid_v4() }'", "'x-${! 1 }'"},
			[]string{"x", "7", "' '"},
		},
		"correl_id": {
			"use up to 200 characters, or leave it empty",
			[]string{"''", strings.Repeat("ż", 200), `'${! "x".repeat(201) }'`},
			[]string{strings.Repeat("ż", 201)},
		},
		"in_reply_to": {
			"use up to 200 characters, or leave it empty",
			[]string{"''", strings.Repeat("x", 200)},
			[]string{strings.Repeat("x", 201)},
		},
		"mime_type": {
			"use a type such as text/plain, without line breaks, or leave it empty",
			[]string{
				"''", "text/plain", "application/vnd.api+json", "'text/csv; charset=utf-8; header=present'", "text/x;a=ż",
				`'${! "a\nb" }'`,
			},
			[]string{
				"text", "/plain", "text/", "text/plain/x", `"text/plain\r\nx: y"`, `"text/plain;\n"`, "'text /plain'", "żółć/x",
				"5",
			},
		},
	} {
		for expected, values := range map[string][]string{"": c.accepted, c.problem: c.rejected} {
			for _, value := range values {
				fields := "{ connection: { address: 'ws://h/p' }, " + field + ": " + value
				if field != "topic" {
					fields += ", topic: /t"
				}
				fields += " }"
				lints, err := linter.LintOutputYAML([]byte("zato_wsx: " + fields))
				require.NoError(t, err)
				_, checkErr := output.Requirements(fields)
				constructErr := output.Construct(fields)
				if expected == "" {
					assert.Empty(t, lints, fields)
					require.NoError(t, checkErr, fields)
					require.NoError(t, constructErr, fields)
					continue
				}
				require.Len(t, lints, 1, fields)
				assert.Contains(t, lints[0].Error(), expected)
				_, problem, _ := strings.Cut(lints[0].Error(), field+": ")
				problem = strings.ReplaceAll(problem, "${{!5}}", "${!5}") // the linter does not unescape it
				require.ErrorContains(t, checkErr, "field "+field+": "+problem)
				require.ErrorContains(t, constructErr, "field "+field+": "+problem)
			}
		}
	}
}

func TestMessagesThatZatoDropsAreCountedAndWarnedAboutOnce(t *testing.T) {
	server := startServer(t, wsxtest.WithTopic(wsxtest.Topic{Name: "/my/drop", DropWithoutSubscribers: true}))
	s := streamtest.Start(t, publisher(server, `topic: '${! content() }'`))
	s.AwaitMetricValue(`zato_wsx_messages_dropped_without_subscriber{label="",path="root.output"}`, 0)
	require.NoError(t, s.AwaitAck(s.Feed("/my/drop", "/my/topic", "/my/drop", "/my/drop")))
	s.AwaitMetricValue(`zato_wsx_messages_dropped_without_subscriber{label="",path="root.output"}`, 3)
	assert.Equal(t, 1, strings.Count(s.Log(), "has no subscriber"), s.Log())
	assert.Contains(t, s.Log(), "topic=/my/drop")
	assert.Len(t, server.Published(), 1)
}

func TestMessageIsRejectedIfTheChannelHasNoGateway(t *testing.T) {
	server := startServer(t, wsxtest.WithChannel(wsxtest.Channel{
		Path: "/service", Username: "user1", Secret: "secret1", Service: wsxtest.Echo,
	}))
	s := streamtest.Start(t, strings.Replace(publisher(server, topic), "/my.wsx", "/service", 1))
	require.ErrorContains(t, s.AwaitAck(s.Feed("x")),
		`publishing to topic "/my/topic": the answer has no msg_id: the channel is not mounted on a gateway`)
	assert.Equal(t, 2, server.Invocations(""), "the server is asked what it is, and only the engine sends a message again")
}

func TestLostAnswerAfterAReconnectDelaysNoOtherMessage(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, publisher(server, topic, "max_in_flight: 8", "timeout: 3s"))
	require.NoError(t, s.AwaitAck(s.Feed("before")))
	server.Stop()
	s.AwaitLog("connection ended")
	results := make(chan error)
	for n := range 8 {
		acked := s.Feed(strconv.Itoa(n))
		go func() { results <- <-acked }()
	}
	s.AwaitMetricValue(`zato_wsx_calls_waiting{label="",path="root.output"}`, 8)
	server.DropResponses(1)
	require.NoError(t, server.Restart())
	for range 7 {
		require.NoError(t, <-results)
	}
	require.ErrorContains(t, <-results, "waiting for the answer", "only this one waits for the timeout")
}
