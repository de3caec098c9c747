package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/zato-connect/zato-connect/internal/testkit/kafkatest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/internal/testkit/zato4test"
)

// zato4User is the user of the servers, and zato4Secret its password. The password has
// characters with a meaning in YAML, in Bloblang, in shells and in URLs.
const (
	zato4User   = "pipelines"
	zato4Secret = ` #"it's": ${HOME} {0123} [é] \n|> %41 `
)

// startZato4 starts a server with the topic orders.new.
func startZato4(t *testing.T, options ...zato4test.Option) *zato4test.Server {
	t.Helper()
	return zato4test.Start(t, append([]zato4test.Option{
		zato4test.WithTopics("orders.new"),
		zato4test.WithUser(zato4User, zato4Secret, []string{"orders.*"}, []string{"orders.*"}),
		zato4test.WithRetryDelays(50 * time.Millisecond),
	}, options...)...)
}

// zato4Env returns the environment variables with which an example connects to a server.
func zato4Env(server *zato4test.Server, extra ...string) []string {
	return append([]string{
		"ZATO_ADDRESS=" + server.URL(), "ZATO_USERNAME=" + zato4User, "ZATO_SECRET=" + zato4Secret,
	}, extra...)
}

// awaitTexts waits until at least n messages were published and returns their contents.
func awaitTexts(t *testing.T, server *zato4test.Server, n int) []string {
	t.Helper()
	var out []string
	eventually(t, func() bool {
		out = nil
		for _, m := range server.Published() {
			out = append(out, m.Data)
		}
		return len(out) >= n
	}, fmt.Sprintf("%d messages were not published", n))
	return out
}

// jsonLines returns the lines of all files that match a pattern, parsed. Empty lines and one
// that is being written do not count.
func jsonLines(t *testing.T, pattern string) (out []map[string]any) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		for line := range strings.Lines(string(content)) {
			if strings.TrimSpace(line) == "" || !strings.HasSuffix(line, "\n") {
				continue
			}
			decoder := json.NewDecoder(strings.NewReader(line))
			decoder.UseNumber()
			parsed := map[string]any{}
			require.NoError(t, decoder.Decode(&parsed), line)
			out = append(out, parsed)
		}
	}
	return out
}

// awaitJSONLines waits until files have at least n lines, and returns them.
func awaitJSONLines(t *testing.T, pattern string, n int) (out []map[string]any) {
	t.Helper()
	eventually(t, func() bool {
		out = jsonLines(t, pattern)
		return len(out) >= n
	}, fmt.Sprintf("there are no %d lines in %s", n, pattern))
	return out
}

// base64Text returns the text in a member that is base64.
func base64Text(t *testing.T, member any) string {
	t.Helper()
	encoded, _ := member.(string)
	text, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)
	return string(text)
}

// zato4Faults are answers after which a request must be repeated. Two of them come after
// the server has served the request.
func zato4Faults(server *zato4test.Server) (repeats int) {
	server.Fail(1, zato4test.Cut())
	server.Fail(2, zato4test.CutAnswer())
	server.Fail(1, zato4test.Refuse(http.StatusServiceUnavailable))
	server.Fail(1, zato4test.Refuse(http.StatusForbidden))
	server.Fail(1, zato4test.Redirect(http.StatusFound, server.URL()+"/zato/ping")) // which answers 200
	server.Fail(1, zato4test.Refuse(http.StatusOK))                                 // not Zato's answer
	return 2
}

func TestKafkaToTopicKeepsTheOrderOfEachPartition(t *testing.T) {
	t.Parallel()
	for _, example := range []string{"kafka-to-topic", "kafka-to-topic-by-gateway"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			broker, server, dir := kafkatest.Start(t), startZato4(t), t.TempDir()
			broker.CreateTopics(2, "orders", "dead")
			var records []*kgo.Record
			for n := range 100 {
				r := record("orders", "", fmt.Sprintf(`{"n":  %d}`, n))
				r.Partition = int32(n % 2)
				records = append(records, r)
			}
			forged := func(name, value string) kgo.RecordHeader {
				return kgo.RecordHeader{Key: name, Value: []byte(value)}
			}
			records[10].Headers = []kgo.RecordHeader{
				forged("dead_letter_reason", "forged"), forged("http_status_code", "400"), forged("kafka_topic", "forged"),
			}
			records[20].Headers = []kgo.RecordHeader{forged("kafka_offset", "7")}
			records[30].Value = []byte("\xff")
			records[40].Value = []byte(strings.Repeat("x", 2000))
			kafkatest.Produce(t, broker.Client(kgo.RecordPartitioner(kgo.ManualPartitioner())), records...)
			repeats := zato4Faults(server)
			env := zato4Env(server, "KAFKA_BROKERS="+broker.Addr, "DEAD_LETTER_TOPIC=dead", "MAX_DATA=1000", "LIST=10",
				"DEAD_LETTER_FILE="+filepath.Join(dir, "dead.jsonl"))
			startBridge(t, "zato-4/"+example+".yaml", env...)
			eventually(t, func() bool { return broker.Committed("zato-connect", "orders") == 100 }, "not all committed")

			next := map[int]int{}
			seen := map[string]int{}
			hidden := 0
			for _, m := range server.Published() {
				var n int
				_, err := fmt.Sscanf(m.Data, `{"n":  %d}`, &n)
				require.NoError(t, err, "the content was changed: %s", m.Data)
				if seen[m.Data]++; seen[m.Data] > 1 {
					continue
				}
				assert.GreaterOrEqual(t, n, next[n%2], "partition %d is out of order", n%2)
				next[n%2] = n
				if n == 10 || n == 20 { // a header hides the position
					hidden++
					assert.NotContains(t, m.CorrelID, "orders/")
					continue
				}
				assert.Equal(t, fmt.Sprintf("orders/%d/%d", n%2, n/2), m.CorrelID)
			}
			assert.Len(t, seen, 98)
			assert.Equal(t, 2, hidden)
			if example == "kafka-to-topic" {
				assert.Len(t, server.Published(), 98+repeats)
			}
			assert.Zero(t, server.FaultsLeft())
			reasons := map[string]string{}
			for _, r := range consume(t, broker.Client(kgo.ConsumeTopics("dead")), 2) {
				reasons[string(r.Value[:1])] = header(r, "dead_letter_reason")
				assert.Regexp(t, `^orders/0/(15|20)$`, header(r, "dead_letter_source"))
			}
			assert.Equal(t, map[string]string{
				"\xff": "the record is not valid UTF-8", "x": "the record is larger than MAX_DATA",
			}, reasons)
			assert.NoFileExists(t, filepath.Join(dir, "dead.jsonl"))
		})
	}
}

func TestKafkaToTopicHoldsRecordsWhileThePermissionIsMissing(t *testing.T) {
	t.Parallel()
	for _, example := range []string{"kafka-to-topic", "kafka-to-topic-by-gateway"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			broker, server, dead := kafkatest.Start(t), startZato4(t), filepath.Join(t.TempDir(), "dead.jsonl")
			broker.CreateTopics(1, "orders")
			kafkatest.Produce(t, broker.Client(), record("orders", "k", "one"))
			env := zato4Env(server, "KAFKA_BROKERS="+broker.Addr, "DEAD_LETTER_FILE="+dead)
			held := startBridge(t, "zato-4/"+example+".yaml", append(env, "ZATO_TOPIC=other")...)
			held.awaitLog("failed: ")
			held.interrupt()
			assert.LessOrEqual(t, broker.Committed("zato-connect", "orders"), int64(0))

			startBridge(t, "zato-4/"+example+".yaml", env...)
			assert.Equal(t, []string{"one"}, awaitTexts(t, server, 1))
			assert.NoFileExists(t, dead)
		})
	}
}

func TestKafkaToTopicWritesDeadLettersToAFileIfKafkaRefusesThem(t *testing.T) {
	broker, server, dead := kafkatest.Start(t), startZato4(t), filepath.Join(t.TempDir(), "dead.jsonl")
	broker.CreateTopics(1, "orders")
	kafkatest.Produce(t, broker.Client(), record("orders", "k", "\xff"), record("orders", "k", `{"n":  2}`))
	server.Fail(1, zato4test.Refuse(http.StatusBadRequest))
	startBridge(t, "zato-4/kafka-to-topic.yaml",
		zato4Env(server, "KAFKA_BROKERS="+broker.Addr, "DEAD_LETTER_TOPIC=not.there", "DEAD_LETTER_FILE="+dead)...)
	lines := awaitJSONLines(t, dead, 2)
	assert.Equal(t, "\xff", base64Text(t, lines[0]["value_base64"]))
	assert.Equal(t, "orders/0/0", lines[0]["source"])
	assert.Equal(t, `{"n":  2}`, base64Text(t, lines[1]["value_base64"]))
	assert.Contains(t, lines[1]["reason"], "400")
	assert.Empty(t, server.Published())
}

func TestKafkaToTopicLosesNothingWhenKilled(t *testing.T) {
	t.Parallel()
	for _, example := range []string{"kafka-to-topic", "kafka-to-topic-by-gateway"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			broker, server := kafkatest.Start(t), startZato4(t)
			broker.CreateTopics(2, "orders")
			var records []*kgo.Record
			for n := range 500 {
				records = append(records, record("orders", strconv.Itoa(n), strconv.Itoa(n)))
			}
			kafkatest.Produce(t, broker.Client(), records...)
			env := zato4Env(server, "KAFKA_BROKERS="+broker.Addr, "LIST=20")
			server.Fail(1, zato4test.CutAnswer())
			server.Fail(1, zato4test.Stall())
			first := startBridge(t, "zato-4/"+example+".yaml", env...)
			eventually(t, func() bool { return server.FaultsLeft() == 0 }, "the bridge did not publish")
			first.kill()
			server.Kill()
			server.Restart()
			startBridge(t, "zato-4/"+example+".yaml", env...)
			eventually(t, func() bool { return broker.Committed("zato-connect", "orders") == 500 }, "not all committed")
			seen := map[string]bool{}
			for _, m := range server.Published() {
				seen[m.Data] = true
			}
			assert.Len(t, seen, 500)
		})
	}
}

func TestAnyKafkaPasswordWorks(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "u", zato4Secret), kfake.SeedTopics(1, "orders"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	listen := streamtest.FreeAddress(t)
	env := []string{
		"KAFKA_BROKERS=" + cluster.ListenAddrs()[0], "KAFKA_SASL_MECHANISM=PLAIN", "KAFKA_USERNAME=u",
		"KAFKA_PASSWORD=" + zato4Secret,
	}
	startBridge(t, "zato-4/topic-to-kafka.yaml", append(env, "LISTEN="+listen)...)
	server := startZato4(t, zato4test.WithSubscription(zato4User, "http://"+listen+"/push", "orders.new"))
	server.Publish("orders.new", "one")
	eventually(t, func() bool { return server.Waiting(zato4User) == 0 }, "Kafka did not accept the message")
	startBridge(t, "zato-4/kafka-to-topic.yaml", append(env, zato4Env(server)...)...)
	assert.Equal(t, []string{"one", "one"}, awaitTexts(t, server, 2))
}
