package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

const (
	dashboard      = "docs/grafana/zato-connect.json"
	alertRules     = "docs/grafana/alerts.yaml"
	alertRuleTests = "docs/grafana/alerts_test.yaml"
)

// findPrometheus returns the path of prometheus or promtool, or skips the test.
func findPrometheus(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("install Prometheus to run this test: %v", err)
	}
	return path
}

func TestPrometheusAcceptsTheAlertsAndTheirTests(t *testing.T) {
	promtool := findPrometheus(t, "promtool")
	for _, args := range [][]string{{"check", "rules", alertRules}, {"test", "rules", alertRuleTests}} {
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// readYAML decodes a file.
func readYAML[T any](t *testing.T, path string) T {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var out T
	require.NoError(t, yaml.Unmarshal(text, &out), path)
	return out
}

func TestEveryAlertHasTestsInWhichItFiresAndInWhichItDoesNot(t *testing.T) {
	type rules struct {
		Groups []struct {
			Rules []struct{ Alert string }
		}
	}
	type ruleTests struct {
		Tests []struct {
			Alerts []struct {
				Name     string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range readYAML[ruleTests](t, alertRuleTests).Tests {
		for _, alert := range test.Alerts {
			if len(alert.Expected) > 0 {
				fires[alert.Name] = true
			} else {
				quiet[alert.Name] = true
			}
		}
	}
	for _, rule := range readYAML[rules](t, alertRules).Groups[0].Rules {
		assert.True(t, fires[rule.Alert], "no test in which %s fires", rule.Alert)
		assert.True(t, quiet[rule.Alert], "no test in which %s does not fire", rule.Alert)
	}
}

// prometheusConfig reads the metrics of a pipeline. Its arguments are the rules and the address.
const prometheusConfig = `
global: { scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms }
rule_files: [ %q ]
scrape_configs:
  - { job_name: zato-connect, static_configs: [ { targets: [ %q ] } ] }
`

// prometheus is a running Prometheus server.
type prometheus struct {
	t       *testing.T
	address string
}

// startPrometheus starts a server that evaluates rules on the metrics of a pipeline.
func startPrometheus(t *testing.T, rules, target string) *prometheus {
	t.Helper()
	program, dir := findPrometheus(t, "prometheus"), t.TempDir()
	p := &prometheus{t: t, address: streamtest.FreeAddress(t)}
	config, log := filepath.Join(dir, "prometheus.yaml"), filepath.Join(dir, "log")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, prometheusConfig, rules, target), 0o600))
	output, err := os.Create(log)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), program, "--config.file="+config,
		"--web.listen-address="+p.address, "--storage.tsdb.path="+filepath.Join(dir, "data"))
	cmd.Stdout, cmd.Stderr = output, output
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = output.Close()
		if text, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("the log of Prometheus:\n%s", text)
		}
	})
	return p
}

// sample is an element of the result of a query.
type sample struct {
	Labels map[string]string `json:"metric"`
	Value  [2]any            `json:"value"` // time and value
}

// query evaluates an expression. It returns an error while the server starts.
func (p *prometheus) query(expression string) ([]sample, error) {
	p.t.Helper()
	address := "http://" + p.address + "/api/v1/query?query=" + url.QueryEscape(expression)
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, address, http.NoBody)
	require.NoError(p.t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", response.Status, body)
	}
	var answer struct {
		Data struct {
			Result []sample `json:"result"`
		} `json:"data"`
	}
	return answer.Data.Result, json.Unmarshal(body, &answer)
}

// await waits until the result of a query matches.
func (p *prometheus) await(expression string, match func([]sample) bool) {
	p.t.Helper()
	var last []sample
	var err error
	matches := func() bool {
		last, err = p.query(expression)
		return err == nil && match(last)
	}
	if !assert.Eventually(p.t, matches, time.Minute, 50*time.Millisecond) {
		require.Fail(p.t, "another result", "%s: %v, %v", expression, last, err)
	}
}

// hasNumber reports whether a sample has a value that Grafana can draw.
func hasNumber(samples []sample) bool {
	for _, s := range samples {
		text, _ := s.Value[1].(string)
		if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
			return true
		}
	}
	return false
}

func TestPrometheusEvaluatesEveryQueryOfTheDashboardOnTheMetricsOfTheBinary(t *testing.T) {
	t.Parallel()
	server := startMeasuredZato(t)
	address := startMeasured(t, allComponents, server.URL("/m"), filepath.Join(t.TempDir(), "journal"))
	prom := startPrometheus(t, "", address)
	prom.await("zato_wsx_messages_received", hasNumber)
	server.Disconnect(4002, "Pings missed")
	prom.await("zato_wsx_reconnects", hasNumber)
	server.Stop()
	prom.await("zato_wsx_connect_failures", hasNumber)
	require.NoError(t, server.Restart())
	for _, role := range []string{"calls", "subscription", "requests"} {
		awaitMetric(t, address, "zato_wsx_connection_up", "role="+role, above(0))
	}
	server.Broadcast("anyone?", time.Second)

	type panels struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	variables := strings.NewReplacer("$instance", ".*", "$__rate_interval", "30s")
	queries := 0
	for _, panel := range readYAML[panels](t, dashboard).Panels {
		for _, target := range panel.Targets {
			prom.await(variables.Replace(target.Expr), hasNumber)
			queries++
		}
	}
	assert.Greater(t, queries, 20)
}

// receivingAndPublishing has three connections that can be down. Its arguments are the address of the metrics and the
// URL of the server.
const receivingAndPublishing = `
http: { address: %[1]s }
input:
  broker:
    inputs:
      - zato_wsx:
          connection: &zato { address: %[2]s, username: u, secret: very-secret, backoff: { max_interval: 100ms } }
          topics: [ /in, /forbidden ]
      - generate: { interval: 50ms, mapping: 'root.n = counter()' }
output: { zato_wsx: { connection: *zato, topic: /out } }
`

func TestPrometheusFiresAlertsWhileTheServerIsAwayAndForATopicThatIsRefused(t *testing.T) {
	t.Parallel()
	findPrometheus(t, "prometheus")
	text, err := os.ReadFile(alertRules)
	require.NoError(t, err)
	// The tests of the rules have the real durations.
	sooner := strings.NewReplacer("for: 2m", "for: 1s", "> 120", "> 1")
	rules := filepath.Join(t.TempDir(), "alerts.yaml")
	require.NoError(t, os.WriteFile(rules, []byte(sooner.Replace(string(text))), 0o600))

	server := startMeasuredZato(t)
	server.Stop()
	prom := startPrometheus(t, rules, startMeasured(t, receivingAndPublishing, server.URL("/m")))
	firing := func(alerts ...string) func([]sample) bool {
		return func(samples []sample) bool {
			var names []string
			for _, s := range samples {
				names = append(names, strings.TrimSpace(s.Labels["alertname"]+" "+s.Labels["topic"]))
			}
			return assert.ElementsMatch(&testing.T{}, alerts, names)
		}
	}
	const all = `ALERTS{alertstate="firing"}`
	prom.await(all, firing("ZatoConnectionDown", "ZatoSubscriptionDown /in", "ZatoSubscriptionDown /forbidden"))
	require.NoError(t, server.Restart())
	prom.await(all, firing("ZatoSubscriptionDown /forbidden"))
}
