package tracer_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/otlptest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	_ "github.com/zato-connect/zato-connect/tracer"
)

func TestMain(m *testing.M) { streamtest.Main(m) }

// pipeline returns a pipeline that sends its spans to url. more holds further fields of the
// tracer.
func pipeline(url string, more ...string) string {
	fields := strings.Join(append([]string{fmt.Sprintf("url: %q", url)}, more...), ", ")
	return "input: { feed: {} }\noutput: { drop: {} }\ntracer: { otlp: { " + fields + " } }"
}

func TestSpansAreSentAtShutdownWithHeadersAndServiceName(t *testing.T) {
	collector := otlptest.Start(t)
	s := streamtest.Start(t, pipeline(collector.URL(), "service_name: orders", "headers: { Authorization: Bearer t0ken }"))
	require.NoError(t, s.AwaitAck(s.Feed("x")))
	s.Stop(streamtest.Timeout)
	assert.Equal(t, "orders", collector.SpansNamed("input_feed", 1)[0].Service)
	assert.Equal(t, "Bearer t0ken", collector.Headers()[0].Get("Authorization"))
	assert.NotContains(t, collector.Text()+s.Log(), "t0ken")
}

func TestTracesThatAreNotSampledAreNotSent(t *testing.T) {
	collector := otlptest.Start(t)
	s := streamtest.Start(t, pipeline(collector.URL(), "sampling_ratio: 0"))
	require.NoError(t, s.AwaitAck(s.Feed("x")))
	s.Stop(streamtest.Timeout)
	assert.Empty(t, collector.Spans())
}

func TestUnreachableCollectorIsLoggedAndDelaysNoMessage(t *testing.T) {
	unreachable := "http://" + streamtest.FreeAddress(t) + "/v1/traces"
	s := streamtest.Start(t, pipeline(unreachable, "headers: { Authorization: t0ken }"))
	require.NoError(t, s.AwaitAck(s.Feed("x")))
	s.Stop(streamtest.Timeout)
	assert.Contains(t, s.Log(), "Spans were not sent")
	assert.Contains(t, s.Log(), "connection refused")
	assert.NotContains(t, s.Log(), "t0ken")
}

func TestUnresponsiveCollectorDelaysShutdownByTheFlushTimeoutAtMost(t *testing.T) {
	release := make(chan struct{})
	unresponsive := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer unresponsive.Close()
	defer close(release)
	s := streamtest.Start(t, pipeline(unresponsive.URL+"/v1/traces", "flush_timeout: 200ms"))
	require.NoError(t, s.AwaitAck(s.Feed("x")))
	start := time.Now()
	s.Stop(streamtest.Timeout)
	assert.Less(t, time.Since(start), 5*time.Second)
	s.AwaitLog("Spans were not sent: at shutdown: context deadline exceeded")
}

func TestLinterAndConstructorRejectInvalidFields(t *testing.T) {
	linter := service.NewEnvironment().NewComponentConfigLinter()
	const good = "http://collector:4318/v1/traces"
	lints, err := linter.LintTracerYAML([]byte("otlp: { url: " + good + ", sampling_ratio: 0.5 }"))
	require.NoError(t, err)
	assert.Empty(t, lints)
	for finding, yaml := range map[string]string{
		"a host and a path":          pipeline("http://collector:4318"),
		"such as http://":            pipeline("grpc://collector:4317/v1/traces"),
		"headers for credentials":    pipeline("http://user:t0ken@collector/v1/traces"),
		"url":                        pipeline("http://collector/v1/traces?key=t0ken"),
		"from 0 to 1":                pipeline(good, "sampling_ratio: 1.5"),
		"field timeout: is 0s":       pipeline(good, "timeout: 0s"),
		"field flush_timeout: is 0s": pipeline(good, "flush_timeout: 0s"),
		"field url: is not a URL":    pipeline("http://t0ken:%zz@collector/v1/traces"),
	} {
		_, tracer, _ := strings.Cut(yaml, "tracer: ")
		lints, err := linter.LintTracerYAML([]byte(tracer))
		require.NoError(t, err)
		assert.NotEmpty(t, lints, yaml)
		err = streamtest.BuildError(t, strings.Replace(yaml, "feed: {}", "generate: { count: 1, mapping: root = 1 }", 1))
		require.ErrorContains(t, err, finding)
		assert.NotContains(t, err.Error(), "t0ken")
	}
}

func TestEveryFieldIsDocumentedWithItsDefault(t *testing.T) {
	docs, err := os.ReadFile("../docs/tracing.md")
	require.NoError(t, err)
	service.GlobalEnvironment().WalkTracers(func(name string, view *service.ConfigView) {
		if name != "otlp" {
			return
		}
		data, err := view.TemplateData()
		require.NoError(t, err)
		require.Len(t, data.Fields, 6)
		for _, f := range data.Fields {
			row := regexp.MustCompile("\\| `" + f.FullName + "` \\| (.*?) \\|").FindSubmatch(docs)
			require.NotNil(t, row, f.FullName)
			if f.Type == "object" || f.DefaultMarshalled == "{}" {
				assert.Equal(t, "none", string(row[1]))
			} else {
				assert.Equal(t, strings.Trim(f.DefaultMarshalled, `"`), strings.Trim(string(row[1]), "`"), f.FullName)
			}
		}
	})
}
