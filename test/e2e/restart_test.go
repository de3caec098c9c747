//go:build unix

package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

const (
	serverRestarts     = 3
	restartConnections = 8
	restartMessages    = 2000
	// maxRestartLines is the most lines that one restart may cause.
	maxRestartLines = 6
)

func TestRestartsOfTheServerAreAFewLinesAndLoseNothing(t *testing.T) {
	server := wsxtest.NewServer(wsxtest.WithTopic(wsxtest.Topic{Name: "/out"}))
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	server.DelayResponses(10 * time.Millisecond) // so that all connections are used
	config := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
http: { enabled: false }
logger: { level: DEBUG, format: logfmt }
input: { generate: { mapping: 'root = count("restarts").string()', interval: "", count: %d } }
output:
  zato_wsx:
    connection:
      address: "ws://%s/zato.wsx.gateway"
      username: user1
      secret: secret1
      max_connections: %d
      backoff: { max_interval: 2s }
    topic: /out
    max_in_flight: %d
`, restartMessages, server.Addr(), restartConnections, restartConnections), 0o600))
	p := start(t, config)
	await := func(condition func() bool) {
		t.Helper()
		require.Eventually(t, condition, 2*streamtest.Timeout, time.Millisecond)
	}
	var before int
	for i := range serverRestarts {
		await(func() bool { return server.Connections() == restartConnections })
		published := len(server.Published())
		await(func() bool { return len(server.Published()) > published+restartConnections })
		if i == 0 {
			before = len(operatorLines(&p.log))
		}
		refused := strings.Count(p.log.String(), "connection refused")
		server.Stop()
		await(func() bool { return strings.Count(p.log.String(), "connection refused") >= refused+restartConnections })
		require.NoError(t, server.Restart())
	}
	<-p.ended
	require.NoError(t, p.err)

	lines := operatorLines(&p.log)[before:]
	for _, line := range lines {
		assert.NotContains(t, line, "level=error")
	}
	assert.LessOrEqual(t, len(lines), serverRestarts*maxRestartLines, "%s", strings.Join(lines, "\n"))
	t.Logf("%d restarts: %d lines at INFO and above", serverRestarts, len(lines))

	counts := map[string]int{}
	for _, m := range server.Published() {
		counts[string(m.Data)]++
	}
	assert.Len(t, counts, restartMessages, "messages were lost")
	for i := range restartMessages {
		assert.Positive(t, counts[strconv.Quote(strconv.Itoa(i+1))])
	}
	repeated := len(server.Published()) - restartMessages
	assert.LessOrEqual(t, repeated, serverRestarts*restartConnections, "only the messages in flight may be repeated")
}

func TestFieldsOfALogLineAreFieldsInJSON(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
http: { enabled: false }
logger: { format: json }
%s`, fmt.Sprintf(receivingPipeline, streamtest.FreeAddress(t))), 0o600))
	cmd := command(t, time.Minute, nil, "run", config)
	log, err := cmd.StdoutPipe() // Connect logs to it unless it is the output
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line := map[string]string{}
	scanner := bufio.NewScanner(log)
	for line["msg"] != "No connection to Zato" && scanner.Scan() {
		line = map[string]string{}
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &line), scanner.Text())
	}
	assert.Equal(t, "warning", line["level"])
	assert.Equal(t, "1", line["connections"])
	assert.Equal(t, "1", line["down"])
	assert.Equal(t, "/t", line["topic"])
	assert.Equal(t, "root.input", line["path"])
	assert.Contains(t, line["error"], "connection refused")
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	for scanner.Scan() {
		continue // an unread pipe would block the program
	}
	require.NoError(t, cmd.Wait())
}

// operatorLines returns the lines of a log at INFO and above.
func operatorLines(log fmt.Stringer) []string {
	var out []string
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "level=") && !strings.Contains(line, "level=debug") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}
