package e2e_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/zato-connect/zato-connect/internal/testkit/kafkatest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

// createSmallTopic creates a topic for records of up to 1,000 bytes.
func createSmallTopic(t *testing.T, broker *kafkatest.Broker, topic string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Timeout)
	defer cancel()
	limit := "1000"
	created, err := kadm.NewClient(broker.Client()).CreateTopics(ctx, 1, 1,
		map[string]*string{"max.message.bytes": &limit}, topic)
	require.NoError(t, err)
	require.NoError(t, created.Error())
}

// incompressible returns n random bytes, which the client of Kafka cannot compress. None of
// them is ASCII.
func incompressible(n int) string {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	out := make([]byte, n)
	for i := range out {
		out[i] = 0x80 | byte(random.Uint32())
	}
	return string(out)
}

func TestKafkaToZatoUsesThePositionOfARecordAndNotItsHeaders(t *testing.T) {
	broker, server := kafkatest.Start(t), startPatched(t)
	broker.CreateTopics(1, "orders", "dead")
	var records []*kgo.Record
	for n, headers := range [][]kgo.RecordHeader{
		{{Key: "trace", Value: []byte("x")}},
		{{Key: "kafka_offset", Value: []byte("0")}},
		{{Key: "kafka_partition", Value: nil}},
		{{Key: "kafka_topic", Value: []byte("payments")}},
		{{Key: "position", Value: []byte("orders/0/0")}, {Key: "__rpcn_kafka_headers", Value: []byte("[]")}},
		{{Key: "kafka_offset", Value: []byte("0")}, {Key: "__rpcn_kafka_headers", Value: []byte("[]")}},
		nil,
	} {
		records = append(records, &kgo.Record{Topic: "orders", Value: []byte(strconv.Itoa(n)), Headers: headers})
	}
	kafkatest.Produce(t, broker.Client(), records...)
	startBridge(t, "kafka-to-zato.yaml",
		zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "ZATO_TOPIC=/in", "DEAD_LETTER_TOPIC=dead")...)
	assert.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6"}, awaitPublished(t, server, "/in", 7))
	ids := map[string]bool{}
	for n, m := range server.Published() {
		ids[m.CorrelID] = true
		if n == 0 || n == 4 || n == 6 {
			assert.Equal(t, "orders/0/"+strconv.Itoa(n), m.CorrelID)
		} else {
			assert.NotContains(t, m.CorrelID, "/", "record %d", n)
		}
	}
	assert.Len(t, ids, 7)
}

func TestKafkaToZatoPublishesCommittedRecordsOnly(t *testing.T) {
	broker, server := kafkatest.Start(t), startZato(t)
	broker.CreateTopics(1, "orders", "dead")
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Timeout)
	defer cancel()
	client := broker.Client(kgo.TransactionalID("producer"))
	for n := range 20 {
		require.NoError(t, client.BeginTransaction())
		kafkatest.Produce(t, client, record("orders", "k", strconv.Itoa(n)))
		require.NoError(t, client.EndTransaction(ctx, n%2 == 0))
	}
	startBridge(t, "kafka-to-zato.yaml",
		zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "ZATO_TOPIC=/in", "DEAD_LETTER_TOPIC=dead")...)
	assert.Equal(t, []string{"0", "2", "4", "6", "8", "10", "12", "14", "16", "18"}, awaitPublished(t, server, "/in", 10))
}

func TestKafkaToZatoWritesDeadLettersThatTheirTopicRefusesToAFile(t *testing.T) {
	broker, server, file := kafkatest.Start(t), startZato(t), filepath.Join(t.TempDir(), "dead-letters.jsonl")
	broker.CreateTopics(1, "orders")
	createSmallTopic(t, broker, "dead")
	large, largest := incompressible(2000), incompressible(900_000)
	kafkatest.Produce(t, broker.Client(),
		record("orders", "a", "1"), record("orders", "b\xff", large), record("orders", "c", "2"),
		record("orders", "d", largest), record("orders", "e", "\xff"), record("orders", "f", "3"))
	metrics := streamtest.FreeAddress(t)
	b := startBridge(t, "kafka-to-zato.yaml", zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "ZATO_TOPIC=/in",
		"METRICS_ADDRESS="+metrics, "DEAD_LETTER_TOPIC=dead", "DEAD_LETTER_FILE="+file, "DEAD_LETTER_BYTES=500kB")...)
	assert.Equal(t, []string{"1", "2", "3"}, awaitPublished(t, server, "/in", 3))
	eventually(t, func() bool { return broker.Committed("zato-connect", "orders") == 6 }, "not all committed")
	dead := consume(t, broker.Client(kgo.ConsumeTopics("dead")), 1)[0]
	assert.Equal(t, []string{"e", "\xff", "orders/0/4"},
		[]string{string(dead.Key), string(dead.Value), header(dead, "dead_letter_source")})

	text, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	require.Len(t, lines, 2)
	for n, expected := range []struct{ source, key, value string }{
		{"orders/0/1", "b\xff", large}, {"orders/0/3", "d", largest},
	} {
		var line map[string]string
		require.NoError(t, json.Unmarshal([]byte(lines[n]), &line))
		assert.Equal(t, expected.source, line["source"])
		assert.Contains(t, line["reason"], "data: is not valid UTF-8")
		assert.Contains(t, line["refused_by_topic"], "MESSAGE_TOO_LARGE")
		assert.Equal(t, base64.StdEncoding.EncodeToString([]byte(expected.key)), line["key_base64"])
		assert.Equal(t, base64.StdEncoding.EncodeToString([]byte(expected.value)), line["value_base64"])
	}
	assert.Contains(t, b.log.String(), "Failed to send message to redpanda")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+metrics+"/metrics", http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close() //nolint:errcheck // read only
	text, err = io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^output_error\{label="dead_letters",path="[^"]*"\} 2$`, string(text))
	assert.Regexp(t, `(?m)^output_sent\{label="dead_letter_file",path="[^"]*"\} 2$`, string(text))
}

func TestZatoToKafkaPutsAsideOnlyTheMessageThatKafkaRefuses(t *testing.T) {
	broker, server := kafkatest.Start(t), startZato(t)
	createSmallTopic(t, broker, "orders")
	aside := filepath.Join(t.TempDir(), "aside.jsonl")
	for n := range 40 { // together more than the topic takes at once
		content := fmt.Sprintf(`{"id":%d,"pad":"%x"}`, n, incompressible(50))
		if n == 17 {
			content = fmt.Sprintf(`{"id":%d,"pad":"%x"}`, n, incompressible(2000))
		}
		publish(t, server, content)
	}
	env := zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "ZATO_TOPIC=/in", "TOO_LARGE="+aside)
	startBridge(t, "zato-to-kafka.yaml", env...)
	line := awaitAside(t, aside, 1)[0]
	assert.Contains(t, line.Content, `{"id":17,`)
	assert.Contains(t, line.Error, "MESSAGE_TOO_LARGE")
	assert.Equal(t, server.Published()[17].ID, line.Metadata["zato_msg_id"])
	var expected, written []string // a batch that Kafka refused is written as a whole, or not at all
	for n := range 40 {
		if n != 17 {
			expected = append(expected, strconv.Itoa(n))
		}
	}
	reader := broker.Client(kgo.ConsumeTopics("orders"))
	for len(written) < len(expected) {
		written = append(written, string(consume(t, reader, 1)[0].Key))
	}
	assert.Equal(t, expected, written)
	publish(t, server, `{"id":"last"}`)
	eventually(t, func() bool { return string(consume(t, reader, 1)[0].Key) == "last" }, "the bridge stands")
	awaitAside(t, aside, 1)
}

func TestZatoToKafkaMakesTheKeyOfEachValueItsText(t *testing.T) {
	broker, server := kafkatest.Start(t), startZato(t)
	broker.CreateTopics(1, "orders")
	env := zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "ZATO_TOPIC=/in", "KEY=order.id")
	startBridge(t, "zato-to-kafka.yaml", env...)
	awaitSubscription(t, server)
	reader := broker.Client(kgo.ConsumeTopics("orders"))
	for content, key := range map[string]string{
		`{"order":{"id":18446744073709551617}}`: "18446744073709551617",
		`{"order":{"id":18446744073709551618}}`: "18446744073709551618",
		`{"order":{"id":1.10}}`:                 "1.10",
		`{"order":{"id":"00012"}}`:              "00012",
		`{"order":{"id":null}}`:                 "",
		`{"order":7}`:                           "",
		`{"order":{"id":1}} {"order":{"id":2}}`: "",
		`order 4711`:                            "",
	} {
		publish(t, server, content)
		r := consume(t, reader, 1)[0]
		assert.Equal(t, content, string(r.Value))
		assert.Equal(t, key, string(r.Key), content)
	}
}

func TestZatoToKafkaWaitsForItsTopic(t *testing.T) {
	t.Parallel()
	broker, server := kafkatest.Start(t), startZato(t)
	aside := filepath.Join(t.TempDir(), "aside.jsonl")
	env := zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "ZATO_TOPIC=/in", "TOO_LARGE="+aside)
	first := startBridge(t, "zato-to-kafka.yaml", env...)
	awaitSubscription(t, server)
	for n := range 5 {
		publish(t, server, fmt.Sprintf(`{"id":%d}`, n))
	}
	first.awaitLog("UNKNOWN_TOPIC_OR_PARTITION")
	first.interrupt() // while it tries again
	second := startBridge(t, "zato-to-kafka.yaml", env...)
	second.awaitLog("UNKNOWN_TOPIC_OR_PARTITION")
	broker.CreateTopics(1, "orders")
	keys := map[string]bool{}
	reader := broker.Client(kgo.ConsumeTopics("orders"))
	for len(keys) < 5 {
		keys[string(consume(t, reader, 1)[0].Key)] = true
	}
	assert.NoFileExists(t, aside)
}
