package e2e_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestZatoReadsTheSecretFromAFile(t *testing.T) {
	server := startZato(t)
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("s3cr3t\n"), 0o600))
	noSecret := "ZATO_WSX_SECRET="
	for name, c := range map[string]struct {
		env      []string
		args     []string
		reported string // empty: the command succeeds
	}{
		"flag":         {env: []string{noSecret}, args: []string{"--secret-file", file}},
		"variable":     {env: []string{noSecret, "ZATO_WSX_SECRET_FILE=" + file}},
		"both":         {args: []string{"--secret-file", file}, reported: "set only one of them"},
		"missing file": {env: []string{noSecret}, args: []string{"--secret-file", file + "2"}, reported: "create the file"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"zato", "ping", "--count", "1"}, c.args...)
			out, err := command(t, time.Minute, zatoEnv(server, c.env...), args...).CombinedOutput()
			if c.reported == "" {
				require.NoError(t, err, "%s", out)
				return
			}
			require.Error(t, err)
			assert.Contains(t, string(out), c.reported)
			assert.Equal(t, 1, strings.Count(string(out), "secret-file"), "%s", out)
		})
	}
}

// startCompanion starts a server with a subscription of the topic /in. Its name is archive, so that its consumers
// receive what is published from then on.
func startCompanion(t *testing.T) *wsxtest.Server {
	t.Helper()
	server := startZato(t)
	subscribeNamed(t, server, `{"topic_name": "/in", "name": "archive"}`)
	return server
}

// subscribeNamed makes a named subscription, or takes it over.
func subscribeNamed(t *testing.T, server *wsxtest.Server, request string) {
	t.Helper()
	out, log, status := runZato(t, server, "", "invoke", "connect.subscribe", request)
	require.Zero(t, status, log)
	require.Contains(t, out, `"sub_key"`)
}

func TestZatoSubscribeByNameTakesOnlyTheMessagesThatItPrints(t *testing.T) {
	server := startCompanion(t)
	for _, text := range []string{"one", "two", "three", "four"} {
		publish(t, server, text)
	}
	for _, expected := range []string{"one\ntwo\n", "three\nfour\n"} {
		out, log, status := runZato(t, server, "", "subscribe", "--name", "archive", "--data", "--count", "2", "/in")
		require.Zero(t, status, log)
		assert.Equal(t, expected, out)
	}
	out, log, status := runZato(t, server, "", "subscriptions")
	require.Zero(t, status, log)
	assert.Regexp(t, `(?m)^/in +archive +no +0 +0 `, out, "all messages must be confirmed")
}

func TestZatoSubscribeByNameReturnsMessagesThatItCannotPrint(t *testing.T) {
	server := startCompanion(t)
	subscribeNamed(t, server, `{"topic_name": "/in", "name": "s", "shared": true}`)
	for _, text := range []string{"one", "two", "three"} {
		publish(t, server, text)
	}
	shared := []string{"subscribe", "--name", "s", "--shared", "--data"}
	cmd := command(t, time.Minute, zatoEnv(server), append(append([]string{"zato"}, shared...), "/in")...)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full, to which nothing can be written")
	}
	defer full.Close() //nolint:errcheck // nothing was written
	var log logtest.Buffer
	cmd.Stdout, cmd.Stderr = full, &log
	require.Error(t, cmd.Run())
	assert.Contains(t, log.String(), "no space left")
	listed, text, status := runZato(t, server, "", "subscriptions", "--name", "s", "--json")
	require.Zero(t, status, text)
	assert.Contains(t, listed, `"waiting":3,"unconfirmed":0`, "the messages must not wait until their lease ends")
	out, text, status := runZato(t, server, "", append(shared, "--count", "3", "/in")...)
	require.Zero(t, status, text)
	assert.Equal(t, "one\ntwo\nthree\n", out)
}

func TestZatoSubscribeByNameGoesOnAfterAResetAndConfirmsAtAnInterrupt(t *testing.T) {
	server := startCompanion(t)
	cmd := command(t, time.Minute, zatoEnv(server), "zato", "subscribe", "--name", "archive", "--data", "/in")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for _, text := range []string{"one", "two", "three"} {
		publish(t, server, text)
		require.True(t, lines.Scan())
		assert.Equal(t, text, lines.Text())
		require.Eventually(t, func() bool {
			listed, _, _ := runZato(t, server, "", "subscriptions", "--json")
			return strings.Contains(listed, `"waiting":0,"unconfirmed":0`)
		}, bridgeTimeout, time.Millisecond, "not confirmed while the command runs")
		server.Cut()
		if text == "one" {
			server.CutBeforeResponse(1) // to the next subscription, which changes the holder
		}
	}
	interrupted := time.Now()
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	assert.False(t, lines.Scan(), "printed twice: %s", lines.Text())
	require.NoError(t, cmd.Wait())
	assert.Less(t, time.Since(interrupted), 4*time.Second)
	listed, log, status := runZato(t, server, "", "subscriptions", "--json")
	require.Zero(t, status, log)
	assert.Contains(t, listed, `"waiting":0,"unconfirmed":0,"consumer":null`, "all must be confirmed and released")
}

func TestZatoListsAndDeletesNamedSubscriptions(t *testing.T) {
	server := startCompanion(t)
	subscribeNamed(t, server, `{"topic_name": "/out", "name": "a b", "shared": true}`)
	publish(t, server, "one")
	publish(t, server, "two")
	out, log, status := runZato(t, server, "", "subscriptions")
	require.Zero(t, status, log)
	assert.Regexp(t, `^TOPIC +NAME +SHARED +WAITING +UNCONFIRMED +IDLE +CONSUMER\n`, out)
	assert.Regexp(t, `(?m)^/in +archive +no +2 +0 `, out)
	assert.Regexp(t, `(?m)^/out +a b +yes +0 +0 `, out)
	out, log, status = runZato(t, server, "", "subscriptions", "--topic", "/in", "--json")
	require.Zero(t, status, log)
	assert.Regexp(t, `^\{"topic":"/in","name":"archive","shared":false,"waiting":2,"unconfirmed":0,.*\}\n$`, out)
	out, log, status = runZato(t, server, "", "unsubscribe", "--name", "archive", "/in")
	require.Zero(t, status, log)
	assert.Equal(t, "messages dropped: 2\n", out)
	out, log, status = runZato(t, server, "", "subscriptions", "--topic", "/in", "--json")
	require.Zero(t, status, log)
	assert.Empty(t, out)
	_, log, status = runZato(t, server, "", "unsubscribe", "--name", "archive", "/in")
	assert.Equal(t, 1, status)
	assert.Contains(t, log, "there is no such subscription")
}

func TestZatoSaysWhyThereAreNoNamedSubscriptions(t *testing.T) {
	server := startPatched(t)
	for _, args := range [][]string{
		{"subscribe", "--name", "archive", "/in"}, {"subscriptions"}, {"unsubscribe", "--name", "archive", "/in"},
	} {
		_, log, status := runZato(t, server, "", args...)
		assert.Equal(t, 1, status)
		assert.Contains(t, log, "mount the channel on connect.gateway")
	}
	_, log, status := runZato(t, server, "", "subscribe", "--shared", "/in")
	assert.Equal(t, 1, status)
	assert.Contains(t, log, "--shared needs --name")
	_, log, status = runZato(t, server, "", "subscribe", "--name", "a", "/in", "/out")
	assert.Equal(t, 1, status)
	assert.Contains(t, log, "--name needs exactly one topic")
}

func TestZatoSubscribeByNameEndsWhenAnotherConsumerTakesOver(t *testing.T) {
	server := startCompanion(t)
	cmd := command(t, time.Minute, zatoEnv(server), "zato", "subscribe", "--name", "archive", "--data", "/in")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var log logtest.Buffer
	cmd.Stderr = &log
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	publish(t, server, "one")
	require.True(t, lines.Scan())
	publish(t, server, "two") // the first consumer may print it, but then it confirms it
	subscribeNamed(t, server, `{"topic_name": "/in", "name": "archive"}`)
	for lines.Scan() {
		assert.Equal(t, "two", lines.Text())
	}
	require.Error(t, cmd.Wait())
	assert.Contains(t, log.String(), "another consumer has the subscription")
	assert.Contains(t, log.String(), "zato-connect zato subscriptions shows it")
}
