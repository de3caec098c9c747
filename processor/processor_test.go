package processor_test

import (
	"context"
	"encoding/json"
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

func startServer(t *testing.T, opts ...wsxtest.Option) *wsxtest.Server {
	t.Helper()
	server := wsxtest.NewServer(append(opts, wsxtest.WithTranscriptServer(), wsxtest.WithFrameRecorder(10_000),
		wsxtest.WithChannel(wsxtest.Channel{
			Path: lists, Username: "user1", Secret: "secret1", Gateway: wsxtest.Connect,
		}),
		wsxtest.WithService("fail.odd", func(_ context.Context, inv wsxtest.Invocation) (any, error) {
			var n int
			if err := json.Unmarshal(inv.Request, &n); err != nil || n%2 == 1 {
				return nil, &wsxtest.StatusError{Status: 400, Message: "odd"}
			}
			return n * 10, nil
		}))...)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	return server
}

// caller returns a pipeline that calls services with the messages that it is fed.
func caller(server *wsxtest.Server, path string, fields ...string) string {
	login := "username: user1, secret: secret1"
	if path == single {
		login = "username: ''"
	}
	all := append([]string{
		fmt.Sprintf("connection: { address: %s, %s, timeout: 2s, backoff: { max_interval: 50ms } }", server.URL(path), login),
	}, fields...)
	return "input: { feed: {} }\npipeline:\n  processors:\n    - zato_wsx: { " + strings.Join(all, ", ") +
		" }\noutput: { collect: {} }\nrate_limit_resources:\n  - { label: slow, local: { count: 1, interval: 100ms } }"
}

const (
	gateway = "/my.wsx"
	single  = "/my.echo"
	echo    = "service: my.echo"
)

func TestAnswerBecomesTheContent(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, gateway, echo))
	for content, answer := range map[string]string{
		`{"n":12345678901234567890,"f":1.10}`: `{"n":12345678901234567890,"f":1.10}`,
		`"a string in JSON"`:                  `a string in JSON`,
		`plain text`:                          `plain text`,
		`[1,2]`:                               `[1,2]`,
		`0`:                                   ``, // false in Python
	} {
		s.Feed(content)
		m := s.Next()[0]
		got, err := m.AsBytes()
		require.NoError(t, err)
		assert.Equal(t, answer, compact(string(got)))
		require.NoError(t, m.GetError())
		status, _ := m.MetaGetMut("zato_status")
		assert.Equal(t, int64(200), status)
		id, _ := m.MetaGet("zato_request_id")
		assert.NotEmpty(t, id)
	}
}

// compact removes the server's indentation from JSON. It does not change plain text.
func compact(s string) string {
	if strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[") {
		return strings.Join(strings.Fields(s), "")
	}
	return s
}

func TestParallelCallsKeepTheOrderOfTheBatch(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, gateway, "service: my.sleep"))
	s.Feed(`{"seconds":0.01}`)
	s.Next()
	start := time.Now()
	var batch []string
	for i := range 8 {
		batch = append(batch, fmt.Sprintf(`{"seconds":%.2f}`, 0.40-0.05*float64(i)))
	}
	s.Feed(batch...)
	for i, text := range streamtest.Texts(t, s.Next()) {
		assert.JSONEq(t, batch[i], text)
	}
	assert.Less(t, time.Since(start), time.Second, "one after the other they take 1.8 seconds")
	assert.Equal(t, 8, server.SessionsOpened())
}

func TestFailedMessageKeepsItsContentAndFailsNoOther(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, gateway, "service: fail.odd"))
	s.Feed("2", "3", "4")
	batch := s.Next()
	assert.Equal(t, []string{"20", "3", "40"}, streamtest.Texts(t, batch))
	require.NoError(t, batch[0].GetError())
	require.ErrorContains(t, batch[1].GetError(), `invoking "fail.odd": the server answered 400 odd (cid `)
	status, _ := batch[1].MetaGetMut("zato_status")
	assert.Equal(t, int64(400), status)
	cid, _ := batch[1].MetaGet("zato_cid")
	assert.Contains(t, batch[1].GetError().Error(), cid)
	require.NoError(t, batch[2].GetError())
}

func TestErrorNamesAnUnknownService(t *testing.T) {
	s := streamtest.Start(t, caller(startServer(t), gateway, "service: my.no-such"))
	s.Feed("1")
	require.ErrorContains(t, s.Next()[0].GetError(), `invoking "my.no-such": the server answered 403`)
}

func TestServiceAndRequestAreInterpolatedForEachMessage(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, gateway, `service: '${! json("s") }'`, `request: 'root = this.r.not_null()'`))
	s.Feed(`{"s":"my.echo","r":{"a":1}}`, `{"s":"my.echo","r":"5"}`, `{"s":"my.fail","r":1}`, `{"s":"my.echo"}`)
	batch := s.Next()
	texts := streamtest.Texts(t, batch)
	assert.JSONEq(t, `{"a":1}`, texts[0])
	assert.Equal(t, "5", texts[1], "a string stays a string")
	require.Error(t, batch[2].GetError())
	require.ErrorContains(t, batch[3].GetError(), "field request")

	var requests []string
	for _, f := range server.Frames() {
		if f.FromClient && strings.Contains(string(f.Payload), "my.echo") {
			requests = append(requests, string(f.Payload))
		}
	}
	assert.Contains(t, strings.Join(requests, "\n"), `"request":"5"`)
}

func TestMappingThatDeletesItsRootSendsNoRequest(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, single, `request: 'root = deleted()'`))
	s.Feed(`{"a":1}`)
	assert.Equal(t, []string{""}, s.NextTexts(1))
}

func TestErrorNamesTheFieldThatCannotBeInterpolated(t *testing.T) {
	s := streamtest.Start(t, caller(startServer(t), gateway, `service: '${! throw("no name") }'`))
	s.Feed("1")
	require.ErrorContains(t, s.Next()[0].GetError(), "field service")
}

func TestContentThatIsNotUTF8IsRejected(t *testing.T) {
	s := streamtest.Start(t, caller(startServer(t), gateway, echo))
	s.Feed("\xff")
	err := s.Next()[0].GetError()
	require.ErrorContains(t, err, "not valid UTF-8")
	require.ErrorContains(t, err, "my.echo")
}

func TestChannelOnASingleServiceNeedsNoName(t *testing.T) {
	s := streamtest.Start(t, caller(startServer(t), single))
	s.Feed(`{"a":1}`)
	assert.JSONEq(t, `{"a":1}`, s.NextTexts(1)[0])
}

func TestCallEndsWithTheTimeout(t *testing.T) {
	s := streamtest.Start(t, caller(startServer(t), gateway, "service: my.sleep", "timeout: 200ms"))
	start := time.Now()
	s.Feed(`{"seconds":5}`)
	require.ErrorContains(t, s.Next()[0].GetError(), "my.sleep")
	assert.Less(t, time.Since(start), 3*time.Second)
}

func TestCallWaitsForAConnection(t *testing.T) {
	server := startServer(t)
	server.Stop()
	s := streamtest.Start(t, caller(server, gateway, echo))
	s.Feed("1")
	s.AwaitLog("next_attempt_in")
	require.NoError(t, server.Restart())
	assert.Equal(t, []string{"1"}, s.NextTexts(1))
}

func TestErrorOfACallThatWasNotSentNamesTheService(t *testing.T) {
	for path, expected := range map[string]string{
		gateway: `invoking "my.echo": not connected`,
		single:  `invoking the channel's service: not connected`,
	} {
		server := startServer(t)
		server.Stop()
		fields := []string{"timeout: 200ms"}
		if path == gateway {
			fields = append(fields, echo)
		}
		s := streamtest.Start(t, caller(server, path, fields...))
		s.Feed("1")
		require.ErrorContains(t, s.Next()[0].GetError(), expected)
	}
}

func TestCallsBeyondTheLimitOfConnectionsFailAtTheTimeout(t *testing.T) {
	server := startServer(t)
	yaml := caller(server, gateway, "service: my.sleep", "timeout: 300ms")
	s := streamtest.Start(t, strings.Replace(yaml, "{ address", "{ max_connections: 1, address", 1))
	s.Feed(`{"seconds":0}`)
	s.Next()
	s.Feed(`{"seconds":5}`, `{"seconds":5}`)
	var all strings.Builder
	for _, m := range s.Next() {
		all.WriteString(m.GetError().Error() + "\n")
	}
	assert.Contains(t, all.String(), `invoking "my.sleep": waiting for the answer`)
	assert.Contains(t, all.String(), `invoking "my.sleep": no connection was free`)
}

func TestCallWithALostAnswerIsRetriedOnlyIfConfigured(t *testing.T) {
	for retry, runs := range map[bool]int{false: 1, true: 2} {
		server := startServer(t)
		s := streamtest.Start(t, caller(server, gateway, echo, fmt.Sprintf("retry_lost: %t", retry)))
		server.CutBeforeResponse(1)
		s.Feed("1")
		err := s.Next()[0].GetError()
		assert.Equal(t, runs, server.Invocations("my.echo"))
		if retry {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, "connection lost before the answer came")
		}
	}
}

func TestMaxInFlightBoundsTheCalls(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, gateway, "service: my.sleep", "max_in_flight: 1"))
	start := time.Now()
	s.Feed(`{"seconds":0.1}`, `{"seconds":0.1}`, `{"seconds":0.1}`)
	s.Next()
	assert.GreaterOrEqual(t, time.Since(start), 300*time.Millisecond)
	assert.Equal(t, 1, server.SessionsOpened())
}

func TestRateLimitLimitsTheCalls(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, gateway, echo, "rate_limit: slow"))
	start := time.Now()
	s.Feed("1", "2", "3", "4")
	s.Next()
	assert.GreaterOrEqual(t, time.Since(start), 300*time.Millisecond)

	s = streamtest.Start(t, caller(server, gateway, echo, "rate_limit: slow", "timeout: 50ms"))
	s.Feed("1", "2", "3")
	var failed int
	for _, m := range s.Next() {
		if m.GetError() != nil {
			require.ErrorContains(t, m.GetError(), `rate limit "slow"`)
			failed++
		}
	}
	assert.Positive(t, failed)
}

func TestErrorsOfTheConfigurationNameTheField(t *testing.T) {
	for field, fields := range map[string]string{
		"rate_limit":    "rate_limit: none",
		"timeout":       "timeout: 0s",
		"max_in_flight": "max_in_flight: 0",
		"max_list":      "max_list: 0",
		"parallel":      "parallel: 0",
		"address":       "service: ''",
	} {
		address := "ws://h/p"
		if field == "address" {
			address = "http://h/p"
		}
		err := streamtest.BuildError(t, "input: { generate: { mapping: 'root = 1' } }\n"+
			"pipeline: { processors: [ zato_wsx: { "+
			"connection: { address: '"+address+"' }, "+fields+" } ] }\noutput: { drop: {} }")
		require.ErrorContains(t, err, field)
	}
}

func TestLinterRejectsWhatTheParserRejects(t *testing.T) {
	linter := service.NewEnvironment().NewComponentConfigLinter()
	for fields, finding := range map[string]string{
		"timeout: 0s":      "must be longer than zero",
		"max_in_flight: 0": "must be at least 1",
		"max_list: 0":      "must be at least 1",
		"parallel: 0":      "must be at least 1",
	} {
		lints, err := linter.LintProcessorYAML([]byte("zato_wsx: { connection: { address: 'ws://h/p' }, " + fields + " }"))
		require.NoError(t, err)
		assert.Contains(t, fmt.Sprint(lints), finding, fields)
	}
}

func TestLinterAcceptsTheExamplesOfTheSpec(t *testing.T) {
	t.Setenv("ZATO_WSX_USERNAME", "u")
	t.Setenv("ZATO_WSX_SECRET", "s")
	streamtest.LintExamples(t, "zato_wsx", service.NewEnvironment().WalkProcessors)
}

func TestAnswerInJSONIsOneLineUnlessRawIsConfigured(t *testing.T) {
	const text, array = `{ "z" :  1.10, "a": "x  y\n", "big": 12345678901234567890, "n": [ 1, { } ] }`, `[ 1 , 2 ]`
	server := startServer(t)
	for channel, service := range map[string]string{gateway: echo, single: "service: ''"} {
		s := streamtest.Start(t, caller(server, channel, service))
		s.Feed(text, array, `"{ \"a\": 1 }"`, "two\nlines")
		assert.Equal(t, []string{
			`{"z":1.10,"a":"x  y\n","big":12345678901234567890,"n":[1,{}]}`, `[1,2]`, `{ "a": 1 }`, "two\nlines",
		}, streamtest.Texts(t, s.Next()), channel)

		s = streamtest.Start(t, caller(server, channel, service, "response_format: raw"))
		s.Feed(`{"a":1}`, `"{ \"a\": 1 }"`)
		raw := streamtest.Texts(t, s.Next())
		assert.Regexp(t, `^\{\n +"a": 1\n +\}$`, raw[0], "as Zato indents it")
		assert.Equal(t, `{ "a": 1 }`, raw[1])
	}
}

func TestCallRemovesTheMetadataOfAnEarlierCall(t *testing.T) {
	server := startServer(t)
	second := func(fields string) string {
		connection := fmt.Sprintf("connection: { address: %s, username: user1, secret: secret1 }", server.URL(gateway))
		return "\n    - zato_wsx: { " + connection + ", " + fields + " }\noutput"
	}
	for name, c := range map[string]struct {
		first, second   string
		present, absent []string
	}{
		"a call that is not answered": {
			echo, "service: my.sleep, timeout: 1ms", nil, []string{"zato_status", "zato_request_id", "zato_cid"},
		},
		"a call that cannot be made": {
			echo, `service: '${! throw("no name") }'`, nil, []string{"zato_status", "zato_request_id", "zato_cid"},
		},
		"a call that fails":    {echo, "service: my.fail", []string{"zato_status", "zato_cid"}, []string{"zato_request_id"}},
		"a call that succeeds": {"service: my.fail", echo, []string{"zato_status", "zato_request_id"}, []string{"zato_cid"}},
		"a call whose request uses it": {
			echo, "service: my.echo, request: 'root = @zato_status'", []string{"zato_request_id"}, []string{"zato_cid"},
		},
	} {
		s := streamtest.Start(t, strings.Replace(caller(server, gateway, c.first), "\noutput", second(c.second), 1))
		s.Feed(`{"seconds":1}`)
		msg := s.Next()[0]
		for _, key := range c.present {
			_, found := msg.MetaGetMut(key)
			assert.True(t, found, "%s: %s", name, key)
		}
		for _, key := range c.absent {
			_, found := msg.MetaGetMut(key)
			assert.False(t, found, "%s: %s", name, key)
		}
	}
}
