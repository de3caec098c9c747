package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// publishingStream is a stream that publishes all the time. Its argument is the URL of the
// server.
const publishingStream = `
input: { generate: { mapping: 'root = "x"', interval: 10ms } }
output:
  zato_wsx: { connection: { address: %s, username: user1, secret: secret1 }, topic: /my/topic }
`

// request sends a request to the binary and requires the status 200.
func request(t *testing.T, method, url, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
}

func TestMetricsAndLogsOfAStreamAreItsOwn(t *testing.T) {
	server := wsxtest.NewServer(wsxtest.WithAutoCreatedTopics())
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	address := streamtest.FreeAddress(t)
	config := filepath.Join(t.TempDir(), "observability.yaml")
	text := fmt.Sprintf("http: { address: %s }\nmetrics: { prometheus: {} }\n", address)
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	log := runUntilTheEnd(t, command(t, 2*time.Minute, nil, "streams", "-o", config))
	streams := "http://" + address + "/streams/"
	require.Eventually(t, func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/ping", http.NoBody)
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	}, streamtest.Timeout, 10*time.Millisecond)

	stream := fmt.Sprintf(publishingStream, server.URL("/zato.wsx.gateway"))
	for _, name := range []string{"first", "second"} {
		request(t, http.MethodPost, streams+name, stream)
		awaitMetric(t, address, "zato_wsx_publish_latency_ns", "stream="+name, above(0))
		awaitMetric(t, address, "zato_wsx_connection_up", "stream="+name, above(0))
	}
	request(t, http.MethodDelete, streams+"first", "")
	logged := len(log.String())
	server.Stop()
	require.Eventually(t, func() bool { return strings.Contains(log.String()[logged:], "No connection to Zato") },
		streamtest.Timeout, 10*time.Millisecond)
	require.NoError(t, server.Restart())
	awaitMetric(t, address, "zato_wsx_reconnects", "stream=second", above(0))
	awaitMetric(t, address, "zato_wsx_sessions", "stream=second", above(1))
	for _, sample := range scrape(t, address) {
		assert.Equal(t, "second", sample.labels["stream"], sample.name)
	}
	zatoLines := 0
	for line := range strings.Lines(log.String()[logged:]) {
		if strings.Contains(line, "to Zato") {
			zatoLines++
			assert.Contains(t, line, "stream=second")
		}
	}
	assert.Positive(t, zatoLines, "the end of the connection is logged")
}

func TestSimulatorsOutsideTheMainFileOfRunAreRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	simulators := write("simulators.yaml", "zato_wsx_simulators: [ { label: s, address: '127.0.0.1:0' } ]\n")
	pipeline := write("pipeline.yaml", "input: { generate: { mapping: 'root = 1', count: 1 } }\noutput: { drop: {} }\n")
	for _, args := range [][]string{
		{"run", "-r", simulators, pipeline},
		{"run", "-r", filepath.Join(dir, "sim*.yaml"), pipeline},
		{"-r", simulators, "run", pipeline},
		{"streams", "-o", simulators},
		{"streams", "-r", simulators, pipeline},
		{"streams", simulators},
	} {
		out, err := command(t, time.Minute, nil, args...).CombinedOutput()
		require.Error(t, err, args)
		assert.Contains(t, string(out), simulators+": zato_wsx_simulators is only supported in the main file", args)
	}
	out, err := command(t, time.Minute, nil, "run", "-r", pipeline, simulators).CombinedOutput()
	assert.NotContains(t, string(out), "only supported", "%v", err)
}
