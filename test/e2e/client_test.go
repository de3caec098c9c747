package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// runZato runs a subcommand of the zato command with a standard input.
func runZato(t *testing.T, server *wsxtest.Server, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := command(t, time.Minute, zatoEnv(server), append([]string{"zato"}, args...)...)
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &log
	err := cmd.Run()
	assert.NotContains(t, out.String()+log.String(), "s3cr3t", "the secret is printed")
	if err != nil {
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		status = exit.ExitCode()
	}
	return out.String(), log.String(), status
}

func TestZatoInvokePrintsResults(t *testing.T) {
	server := startZato(t, wsxtest.WithService("echo", wsxtest.Echo), wsxtest.WithService("fail", wsxtest.Fail))
	for name, c := range map[string]struct {
		stdin    string
		args     []string
		expected string
	}{
		"JSON":         {"", []string{"echo", `{"n": 12345678901234567890}`}, "{\"n\":12345678901234567890}\n"},
		"a text":       {"", []string{"echo", "a text"}, "\"a text\"\n"},
		"no request":   {"", []string{"zato.ping"}, "{\"pong\":\"zato\"}\n"},
		"lines":        {"1\n\n{\"a\": [ 2 ]}\nthree\n", []string{"echo", "-"}, "1\n{\"a\":[2]}\n\"three\"\n"},
		"no last line": {"1\n2", []string{"echo", "-"}, "1\n2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			out, log, status := runZato(t, server, c.stdin, append([]string{"invoke"}, c.args...)...)
			assert.Zero(t, status, log)
			assert.Equal(t, c.expected, out)
			assert.Empty(t, log)
		})
	}
	out, log, status := runZato(t, server, "", "invoke", "fail", "1")
	assert.Equal(t, 1, status)
	assert.Empty(t, out)
	assert.Contains(t, log, `invoking "fail": the server answered 500`)
}

func TestZatoPublishSendsOneMessagePerLineAndNamesTheLineThatFails(t *testing.T) {
	server := startZato(t)
	const lines = "one\n\n{\"two\": 2}\n"
	out, log, status := runZato(t, server, lines, "publish", "--priority", "9", "--correl-id", "c", "/out", "-")
	require.Zero(t, status, log)
	messages := server.Published()
	require.Len(t, messages, 2)
	assert.Equal(t, messages[0].ID+"\n"+messages[1].ID+"\n", out)
	assert.Equal(t, []any{9, "c", true}, []any{messages[1].Priority, messages[1].CorrelID, messages[1].GuaranteedDelivery})
	assert.Equal(t, []string{"one", `{"two": 2}`}, awaitPublished(t, server, "/out", 2))

	_, log, status = runZato(t, server, "", "publish", "--has-gd=false", "/out", "three")
	require.Zero(t, status, log)
	assert.False(t, server.Published()[2].GuaranteedDelivery)

	_, log, status = runZato(t, server, "one\n\xff\nthree\n", "publish", "/out", "-")
	assert.Equal(t, 1, status)
	assert.Contains(t, log, "line 2: ")
	assert.Contains(t, log, "is not valid UTF-8")
	assert.Len(t, server.Published(), 4, "only the first line must be published")

	_, log, status = runZato(t, server, "", "publish", "/forbidden", "x")
	assert.Equal(t, 1, status)
	assert.Contains(t, log, "the server answered 403")
}

func TestZatoCommandsRefuseNumbersAndTextsThatWouldCountAsNotGiven(t *testing.T) {
	server := startZato(t)
	for expected, args := range map[string][]string{
		"--priority is 0: use 1 to 9":                  {"publish", "--priority", "0", "/out", "x"},
		"--priority is 10: use 1 to 9":                 {"publish", "--priority", "10", "/out", "-"},
		"--expiration is 0: use 1 or more":             {"publish", "--expiration", "0", "/out", "x"},
		"--expiration is -1: use 1 or more":            {"publish", "--expiration", "-1", "/out", "x"},
		"--msg-id is empty: ":                          {"publish", "--msg-id", "", "/out", "x"},
		"--correl-id is empty: ":                       {"publish", "--correl-id", "", "/out", "x"},
		"--count is 0: use 1 or more":                  {"subscribe", "--count", "0", "/in"},
		"--count is -2: use 1 or more":                 {"subscribe", "-n", "-2", "/in"},
		"--count is -1: use 1 or more":                 {"ping", "--count", "-1"},
		"--timeout is 0s: use a longer time":           {"ping", "--timeout", "0s"},
		"--name is empty: ":                            {"subscriptions", "--name", ""},
		"--user is empty: give it a value or leave it": {"enmasse", "--user", ""},
	} {
		out, log, status := runZato(t, server, "one\n", args...)
		assert.Equal(t, 1, status, expected)
		assert.Contains(t, log, expected)
		assert.Empty(t, out)
	}
	assert.Empty(t, server.Published())
	assert.Zero(t, server.LoginAttempts(), "the command reports its options before it connects")
	_, log, status := runZato(t, server, "", "publish", "--correl-id", strings.Repeat("x", 201), "/out", "x")
	assert.Equal(t, 1, status)
	assert.Contains(t, log, "correl_id: has 201 characters: use up to 200")
}

func TestZatoPublishWithAnIDPublishesOnce(t *testing.T) {
	server := startZato(t)
	for range 2 {
		out, log, status := runZato(t, server, "", "publish", "--msg-id", "order 1", "/out", "x")
		require.Zero(t, status, log)
		assert.Equal(t, "order 1\n", out)
	}
	assert.Len(t, server.Published(), 1)
}

func TestZatoPublishWithAnIDSendsTheMessageAgainIfTheAnswerIsLost(t *testing.T) {
	var server *wsxtest.Server
	var calls atomic.Int32
	describe := func(context.Context, wsxtest.Invocation) (any, error) {
		return json.RawMessage(`{"name": "zato-connect", "can": ["publish-list", "publish-known"]}`), nil
	}
	publishList := func(context.Context, wsxtest.Invocation) (any, error) {
		if calls.Add(1) == 1 {
			server.CutBeforeResponse(1)
		}
		return json.RawMessage(`{"messages": [{"msg_id": "order 1", "status": "known"}]}`), nil
	}
	server = startZato(t, withPatchedGateway(), wsxtest.WithService("connect.describe", describe),
		wsxtest.WithService("connect.publish", publishList))
	out, log, status := runZato(t, server, "", "publish", "--msg-id", "order 1", "/out", "x")
	require.Zero(t, status, log)
	assert.Equal(t, "order 1\n", out)
	assert.EqualValues(t, 2, calls.Load())
}

func TestZatoPublishUsesTheCompanionServicesAfterAReconnect(t *testing.T) {
	server := startZato(t)
	cmd := command(t, time.Minute, zatoEnv(server), "zato", "publish", "/out", "-")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	ids := bufio.NewScanner(stdout)
	for n := range 2 {
		_, err = stdin.Write([]byte("text\n"))
		require.NoError(t, err)
		require.True(t, ids.Scan())
		assert.Equal(t, n+1, server.Invocations("connect.publish"), "Zato's own service loses messages of a full topic")
		server.Cut()
		eventually(t, func() bool { return server.SessionsOpened() == n+2 }, "no reconnect")
	}
	require.NoError(t, stdin.Close())
	require.NoError(t, cmd.Wait())
}

func TestZatoPublishRefusesAnIDThatWouldNotBeOneMessages(t *testing.T) {
	server := startZato(t)
	_, log, status := runZato(t, server, "one\ntwo\n", "publish", "--msg-id", "order 1", "/out", "-")
	assert.Equal(t, 1, status)
	assert.Contains(t, log, "--msg-id is the id of one message: ")

	stock := startPatched(t)
	_, log, status = runZato(t, stock, "", "publish", "--msg-id", "order 1", "/out", "x")
	assert.Equal(t, 1, status)
	assert.Contains(t, log, "the gateway of this channel does not offer --msg-id: deploy the file")
	assert.Empty(t, append(server.Published(), stock.Published()...))
}

func TestZatoPublishWarnsOnceAboutDroppedMessages(t *testing.T) {
	server := startZato(t, wsxtest.WithTopic(wsxtest.Topic{Name: "/drop", DropWithoutSubscribers: true}))
	out, log, status := runZato(t, server, "one\ntwo\n", "publish", "/drop", "-")
	require.Zero(t, status, log)
	assert.Equal(t, "\n\n", out, "no ids")
	assert.Equal(t, "warning: Zato drops the messages of topic \"/drop\", because it has no subscriber\n", log)
}

func TestZatoPublishWaitsUntilAFullTopicHasRoom(t *testing.T) {
	server := startZato(t, wsxtest.WithTopic(wsxtest.Topic{Name: "/small", MaxDepthNonGD: 1}))
	sub := command(t, time.Minute, zatoEnv(server), "zato", "subscribe", "--count", "9", "/small")
	var received bytes.Buffer
	sub.Stdout = &received
	require.NoError(t, sub.Start())
	require.Eventually(t, func() bool { return len(server.Subscriptions()) > 0 }, time.Minute, time.Millisecond)
	lines := strings.Repeat("one\ntwo\nthree\n", 3)
	_, log, status := runZato(t, server, lines, "publish", "/small", "-")
	require.Zero(t, status, log)
	require.NoError(t, sub.Wait())
	assert.Equal(t, 9, strings.Count(received.String(), "\n"), received.String())
}

func TestZatoSaysThatTheChannelHasNoGateway(t *testing.T) {
	server := startZato(t, wsxtest.WithChannel(ungated("/service", wsxtest.Echo)))
	for _, args := range [][]string{{"publish", "/in", "x"}, {"subscribe", "/in"}} {
		flags := []string{args[0], "--address", server.URL("/service"), "--username", "user1"}
		_, log, status := runZato(t, server, "", append(flags, args[1:]...)...)
		assert.Equal(t, 1, status)
		assert.Contains(t, log, "the channel is not mounted on a gateway")
	}
}

func TestZatoSubscribePrintsMessagesUntilInterrupted(t *testing.T) {
	server := startZato(t)
	cmd := command(t, time.Minute, zatoEnv(server), "zato", "subscribe", "/in", "/out")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { return len(server.Subscriptions()) == 2 }, streamtest.Timeout, time.Millisecond)
	publish(t, server, `{"n": 12345678901234567890, "text": "<ż>"}`,
		wsxtest.PublishOptions{Priority: 8, CorrelID: "c-1", InReplyTo: "r-1", Expiration: 60})
	scanner := bufio.NewScanner(out)
	require.True(t, scanner.Scan())
	var message struct {
		Topic    string `json:"topic"`
		MsgID    string `json:"msg_id"`
		CorrelID string `json:"correl_id"`
		Priority int    `json:"priority"`
	}
	require.NoError(t, json.Unmarshal(scanner.Bytes(), &message), scanner.Text())
	assert.Equal(t, "/in", message.Topic)
	assert.Equal(t, server.Published()[0].ID, message.MsgID)
	assert.Equal(t, "c-1", message.CorrelID)
	assert.Equal(t, 8, message.Priority)
	assert.Contains(t, scanner.Text(), `"data":{"n":12345678901234567890,"text":"<ż>"}`)
	assert.NotContains(t, scanner.Text(), "zpsk.", "a key is a secret")
	for _, name := range []string{
		`"in_reply_to":"r-1"`, `"expiration":60`, `"expiration_time":`, `"pub_time":`, `"recv_time":`, `"delivery_count":1`,
		`"size":`, `"mime_type":`,
	} {
		assert.Contains(t, scanner.Text(), name)
	}

	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	assert.False(t, scanner.Scan())
	require.NoError(t, cmd.Wait())
	assert.Empty(t, server.Subscriptions())
}

func TestZatoSubscribeEndsAfterCountMessages(t *testing.T) {
	server := startZato(t)
	for _, text := range []string{"one", "two", "three"} {
		publish(t, server, text)
	}
	out, log, status := runZato(t, server, "", "subscribe", "--count", "2", "--data", "/in")
	require.Zero(t, status, log)
	assert.Equal(t, "one\ntwo\n", out)
}

func TestZatoPingPrintsRoundTripTimes(t *testing.T) {
	out, log, status := runZato(t, startZato(t), "", "ping", "--count", "3", "--interval", "1ms")
	require.Zero(t, status, log)
	assert.Regexp(t, `^(\d: \d+\.\d{3} ms\n){3}shortest .* ms, mean .* ms, longest .* ms\n$`, out)
}

func TestZatoSaysWhyItCannotConnect(t *testing.T) {
	server := startZato(t)
	server.SetSecret("/bridge", "another")
	_, log, status := runZato(t, server, "", "ping")
	assert.Equal(t, 1, status)
	assert.Equal(t, 1, strings.Count(log, "login refused: check username and secret"), log)
	assert.NotContains(t, log, "next_attempt_in", "the command does not try again")
	for _, args := range [][]string{
		{"publish", "/in", "x"}, {"publish", "/in", "-"}, {"subscribe", "/in"}, {"invoke", "a"},
	} {
		_, log, status := runZato(t, server, "one\ntwo\n", args...)
		assert.Equal(t, 1, status)
		assert.Len(t, strings.Split(strings.TrimSpace(log), "\n"), 1, "%s: %s", args, log)
		assert.Equal(t, 1, strings.Count(log, "login refused: check username and secret"), "%s: %s", args, log)
	}
	_, log, status = runZato(t, server, "", "invoke", "--address", "http://x", "a")
	assert.Equal(t, 1, status)
	assert.Contains(t, log, "use ws:// or wss://")
	_, log, status = runZato(t, server, "", "publish", "/in")
	assert.Equal(t, 1, status)
	assert.Contains(t, log, "usage: zato-connect zato publish [options] TOPIC DATA|-")
}

func TestZatoHelpShowsVariablesAndDefaults(t *testing.T) {
	for args, expected := range map[string][]string{
		"ping":      {"ZATO_WSX_SECRET", "(default: 4)", "(default: 30s)"},
		"publish":   {"(default: Zato's, 5)", "(default: the topic's)"},
		"subscribe": {"(default: stop at Ctrl-C)"},
		"services":  {"(default: only zato.ping)"},
		"enmasse":   {"(default: /orders/new)", "(default: connect)", "(default: ws://0.0.0.0:48902/connect)"},
	} {
		help, ok := printFile(t, args, "--help")
		assert.True(t, ok, help)
		for _, text := range expected {
			assert.Contains(t, help, text, args)
		}
	}
}

func TestZatoExitsPromptlyOnInterrupt(t *testing.T) {
	server := startZato(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "zato", "publish", "/out", "-")
	cmd.Env = append(cmd.Environ(), zatoEnv(server)...)
	stdin, err := cmd.StdinPipe() // stays open
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = stdin.Write([]byte("one\n"))
	require.NoError(t, err)
	awaitPublished(t, server, "/out", 1)
	interrupted := time.Now()
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	assert.Equal(t, 130, exit.ExitCode())
	assert.Less(t, time.Since(interrupted), 3*time.Second)
}
