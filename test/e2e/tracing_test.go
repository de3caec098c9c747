package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/otlptest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// documentedPipelines writes the two pipelines of a section of docs/tracing.md to files and
// returns their paths.
func documentedPipelines(t *testing.T, section string) (publisher, subscriber string) {
	t.Helper()
	docs, err := os.ReadFile("docs/tracing.md")
	require.NoError(t, err)
	_, text, found := strings.Cut(string(docs), "### "+section+"\n")
	require.True(t, found)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, 2)
	var files [2]string
	for i := range files {
		files[i] = filepath.Join(t.TempDir(), "config.yaml")
		writeFile(t, files[i], blocks[i][1]+"\nhttp: { enabled: false }\nlogger: { level: WARN }\n")
	}
	return files[0], files[1]
}

func TestDocumentedPipelinesMakeOneTraceFromThePublisherToTheSubscriber(t *testing.T) {
	for _, section := range []string{"In the correlation id", "In the content"} {
		t.Run(section, func(t *testing.T) {
			publisher, subscriber := documentedPipelines(t, section)
			collector := otlptest.Start(t)
			server := startZato(t, wsxtest.WithTopic(wsxtest.Topic{Name: "/orders/new"}))
			env := zatoEnv(server, "OTLP_URL="+collector.URL())

			receive := command(t, time.Minute, env, "run", subscriber)
			var log bytes.Buffer
			receive.Stderr = &log
			received, err := receive.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, receive.Start())
			key := awaitSubscription(t, server)

			send := command(t, time.Minute, env, "run", publisher)
			send.Stdin = strings.NewReader(`{"id":"o-1"}` + "\n")
			out, err := send.CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Empty(t, string(out))

			line, err := bufio.NewReader(received).ReadString('\n')
			require.NoError(t, err)
			assert.JSONEq(t, `{"id":"o-1"}`, line)
			require.NoError(t, receive.Process.Signal(syscall.SIGTERM))
			require.NoError(t, receive.Wait())
			assert.Empty(t, log.String())

			requireOneTrace(t, collector, server.Published()[0])
			assert.NotContains(t, collector.Text(), "s3cr3t")
			assert.NotContains(t, collector.Text(), key)
		})
	}
}

// requireOneTrace checks that all spans are in one trace, from the line that the publisher
// read to the line that the subscriber wrote.
func requireOneTrace(t *testing.T, collector *otlptest.Collector, published wsxtest.Message) {
	t.Helper()
	sent := collector.SpansNamed("publish /orders/new", 1)[0]
	processed := collector.SpansNamed("process /orders/new", 1)[0]
	for _, span := range collector.Spans() {
		assert.Equal(t, sent.Trace, span.Trace, span.Name)
	}
	assert.Equal(t, collector.SpansNamed("input_stdin", 1)[0].ID, sent.Parent)
	assert.Equal(t, sent.ID, processed.Parent)
	assert.Equal(t, processed.ID, collector.SpansNamed("output_stdout", 1)[0].Parent)
	assert.Equal(t, "publisher", sent.Service)
	assert.Equal(t, "subscriber", processed.Service)
	assert.Equal(t, "SPAN_KIND_PRODUCER", sent.Kind)
	assert.Equal(t, "SPAN_KIND_CONSUMER", processed.Kind)
	for _, span := range []otlptest.Span{sent, processed} {
		assert.Equal(t, "zato", span.Attributes["messaging.system"])
		assert.Equal(t, "/orders/new", span.Attributes["messaging.destination.name"])
		assert.Equal(t, published.ID, span.Attributes["messaging.message.id"])
		assert.Equal(t, published.CorrelID, span.Attributes["messaging.message.conversation_id"])
	}
}

func TestTracingPrintsThreeOrdersWithOneTraceEachAndEnds(t *testing.T) {
	collector := otlptest.Start(t)
	env := []string{"ZATO_SIMULATOR_ADDRESS=" + streamtest.FreeAddress(t), "OTLP_URL=" + collector.URL()}
	cmd := command(t, time.Minute, env, "run", "examples/tracing.yaml")
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	require.NoError(t, cmd.Run(), "%s", log.String())
	assert.Empty(t, log.String())
	printed := map[string]string{} // item by trace
	for line := range strings.Lines(out.String()) {
		var order struct {
			Item  string `json:"item"`
			Trace string `json:"trace"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &order))
		printed[order.Trace] = order.Item
	}
	require.Len(t, printed, 3)
	published := map[string]string{} // id by trace
	for _, span := range collector.SpansNamed("publish /orders/new", 3) {
		published[span.Trace] = span.ID
	}
	for _, span := range collector.SpansNamed("process /orders/new", 3) {
		assert.Equal(t, published[span.Trace], span.Parent)
	}
	for _, span := range collector.SpansNamed("invoke price.get", 3) {
		assert.Equal(t, printed[span.Trace] == "durian", span.Failed, printed[span.Trace])
	}
}
