package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// allComponents is a pipeline that uses every component. Its arguments are the address of
// the metrics, the URL of the server and the path of the journal.
const allComponents = `
http: { address: %[1]s }
metrics: { prometheus: {} }
input:
  broker:
    inputs:
      - zato_wsx:
          connection: &zato { address: %[2]s, username: u, secret: very-secret, backoff: { max_interval: 100ms } }
          topics: [ /in ]
          journal: { path: %[3]q }
      - zato_wsx_requests: { connection: *zato }
      - generate: { interval: 50ms, mapping: 'root.n = counter()' }
pipeline:
  processors:
    - branch:
        request_map: 'root = if @zato_topic != null { deleted() } else { this }'
        processors: [ zato_wsx: { connection: *zato, service: demo.echo } ]
output: { zato_wsx: { connection: *zato, topic: '${! if @zato_topic == null { "/in" } else { "/out" } }' } }
`

// startMeasuredZato starts a server for allComponents.
func startMeasuredZato(t *testing.T) *wsxtest.Server {
	t.Helper()
	server := wsxtest.NewServer(wsxtest.WithAutoCreatedTopics(),
		wsxtest.WithChannel(wsxtest.Channel{
			Path: "/m", Username: "u", Secret: "very-secret", NoSubscribe: []string{"/forbidden"},
		}),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/forbidden"}), wsxtest.WithService("demo.echo", wsxtest.Echo))
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	return server
}

// startMeasured runs a pipeline and returns the address of its metrics, which is the first argument of config.
func startMeasured(t *testing.T, config string, args ...any) (address string) {
	t.Helper()
	address = streamtest.FreeAddress(t)
	path := filepath.Join(t.TempDir(), "measured.yaml")
	text := fmt.Sprintf(config, append([]any{address}, args...)...)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	runUntilTheEnd(t, command(t, 2*time.Minute, nil, "run", path))
	return address
}

// metricSample is a metric with its labels and its value.
type metricSample struct {
	name   string
	labels map[string]string
	value  float64
}

var (
	sampleLine = regexp.MustCompile(`^(zato_wsx_\w+?|redpanda_lag)(?:_sum|_count)?\{(.*)\} (\S+)$`)
	labelPair  = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)
)

// scrape reads the metrics of the components, and the lag of Kafka topics, from a running binary.
func scrape(t *testing.T, address string) []metricSample {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil // the binary is still starting
	}
	defer response.Body.Close() //nolint:errcheck // read only
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.NotContains(t, string(body), "very-secret")
	var out []metricSample
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		if found := sampleLine.FindStringSubmatch(lines.Text()); found != nil {
			sample := metricSample{name: found[1], labels: map[string]string{}}
			sample.value, err = strconv.ParseFloat(found[3], 64)
			require.NoError(t, err)
			for _, pair := range labelPair.FindAllStringSubmatch(found[2], -1) {
				sample.labels[pair[1]] = pair[2]
			}
			out = append(out, sample)
		}
	}
	return out
}

// awaitMetric waits until the sum of the samples with a name and a label matches. The
// label has the form role=calls.
func awaitMetric(t *testing.T, address, name, label string, match func(float64) bool) {
	t.Helper()
	key, value, _ := strings.Cut(label, "=")
	var samples []metricSample
	matches := func() bool {
		samples = scrape(t, address)
		sum, found := 0.0, false
		for _, s := range samples {
			if s.name == name && s.labels[key] == value {
				sum, found = sum+s.value, true
			}
		}
		return found && match(sum)
	}
	if !assert.Eventually(t, matches, time.Minute, 20*time.Millisecond) {
		require.Fail(t, "the metric has another value", "%s with %s: %v", name, label, samples)
	}
}

func above(limit float64) func(float64) bool { return func(v float64) bool { return v > limit } }
func equal(value float64) func(float64) bool { return func(v float64) bool { return v == value } }

func TestMetricsShowWhyConnectionsFailAndAreAllDocumented(t *testing.T) {
	server := startMeasuredZato(t)
	address := startMeasured(t, allComponents, server.URL("/m"), filepath.Join(t.TempDir(), "journal"))

	for _, role := range []string{"calls", "subscription", "requests"} {
		awaitMetric(t, address, "zato_wsx_connection_up", "role="+role, above(0))
	}
	server.Disconnect(4002, "Pings missed")
	awaitMetric(t, address, "zato_wsx_reconnects", "reason=closed_by_server", above(2))
	awaitMetric(t, address, "zato_wsx_connection_up", "role=subscription", equal(1))
	server.Stop()
	awaitMetric(t, address, "zato_wsx_connection_up", "role=subscription", equal(0))
	awaitMetric(t, address, "zato_wsx_connections", "role=subscription", equal(1))
	awaitMetric(t, address, "zato_wsx_connect_failures", "reason=unreachable", above(2))
	require.NoError(t, server.Restart())
	for _, role := range []string{"calls", "subscription", "requests"} {
		awaitMetric(t, address, "zato_wsx_connection_up", "role="+role, above(0))
		awaitMetric(t, address, "zato_wsx_sessions", "role="+role, above(1))
		awaitMetric(t, address, "zato_wsx_bytes", "role="+role, above(1000))
	}
	awaitMetric(t, address, "zato_wsx_call_latency_ns", "service=demo.echo", above(0))
	awaitMetric(t, address, "zato_wsx_messages_received", "topic=/in", above(0))
	server.SetSecret("/m", "another")
	server.Disconnect(1001, "bye")
	awaitMetric(t, address, "zato_wsx_connect_failures", "reason=login_refused", above(0))

	documented := documentedMetrics(t)
	for _, sample := range scrape(t, address) {
		if !assert.Contains(t, documented, sample.name) {
			continue
		}
		for _, added := range []string{"label", "path", "stream", "quantile", "le"} { // added by Connect
			delete(sample.labels, added)
		}
		for label := range sample.labels {
			assert.Contains(t, documented[sample.name], label, sample.name)
		}
	}
}

// documentedMetrics returns the names and labels of the metrics in docs/metrics.md.
func documentedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("docs/metrics.md")
	require.NoError(t, err)
	out := map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| `(zato_wsx_\\w+)` \\| \\w+ \\| ([^|]*) \\|")
	for _, found := range row.FindAllStringSubmatch(string(text), -1) {
		out[found[1]] = strings.Split(strings.ReplaceAll(strings.TrimSpace(found[2]), "`", ""), ", ")
	}
	require.NotEmpty(t, out)
	return out
}

func TestDashboardAndAlertsUseMetricsThatExist(t *testing.T) {
	documented := documentedMetrics(t)
	name := regexp.MustCompile(`\bzato_wsx_\w+`)
	used := map[string]bool{}
	for _, file := range []string{dashboard, alertRules} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, found := range name.FindAllString(string(text), -1) {
			found = strings.TrimSuffix(strings.TrimSuffix(found, "_sum"), "_count")
			assert.Contains(t, documented, found, file)
			used[found] = true
		}
	}
	for metric := range documented {
		assert.True(t, used[metric], "no panel shows %s", metric)
	}
}
