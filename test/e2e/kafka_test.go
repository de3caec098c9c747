package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/zato-connect/zato-connect/internal/testkit/kafkatest"
)

// consume returns the next n records of a topic.
func consume(t *testing.T, client *kgo.Client, n int) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Timeout)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n {
		out = append(out, client.PollRecords(ctx, n-len(out)).Records()...)
		require.NoError(t, ctx.Err(), "received %d of %d records", len(out), n)
	}
	return out
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func record(topic, key, value string) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}
}

func TestKafkaToZatoKeepsTheOrderOfEachKeyAndWritesDeadLetters(t *testing.T) {
	broker, server := kafkatest.Start(t), startPatched(t)
	broker.CreateTopics(4, "orders", "dead")
	env := zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "ZATO_TOPIC=/in", "DEAD_LETTER_TOPIC=dead")
	client := broker.Client()
	var records []*kgo.Record
	for n := range 200 {
		records = append(records, record("orders", strconv.Itoa(n%10), fmt.Sprintf("%d %d", n%10, n)))
	}
	records[50].Value = nil
	records[60].Value = []byte("\xff")
	kafkatest.Produce(t, client, records...)
	server.DelayResponses(5 * time.Millisecond) // so that publishing takes longer than the cuts
	startBridge(t, "kafka-to-zato.yaml", env...)
	for range 3 {
		n := len(server.Published())
		eventually(t, func() bool { return len(server.Published()) >= n+10 }, "nothing more is published")
		server.CutBeforeResponse(1)
	}

	eventually(t, func() bool { return broker.Committed("zato-connect", "orders") == 200 }, "not all committed")
	next := map[int]int{}
	sources := map[string]bool{}
	duplicates := 0
	for _, m := range server.Published() {
		require.Regexp(t, `^orders/[0-3]/[0-9]+$`, m.CorrelID)
		if sources[m.CorrelID] {
			duplicates++
			continue
		}
		sources[m.CorrelID] = true
		var key, n int
		_, err := fmt.Sscanf(textOf(t, m.Data), "%d %d", &key, &n)
		require.NoError(t, err)
		assert.Greater(t, n+1, next[key], "key %d is out of order", key)
		next[key] = n + 1
	}
	assert.Len(t, sources, 198)
	assert.Equal(t, 3, duplicates, "three publications got no response")

	dead := consume(t, broker.Client(kgo.ConsumeTopics("dead")), 2)
	reasons := map[string]string{}
	for _, r := range dead {
		reasons[string(r.Value)] = header(r, "dead_letter_reason")
		assert.Equal(t, "0", string(r.Key))
		assert.Regexp(t, `^orders/[0-3]/[0-9]+$`, header(r, "dead_letter_source"))
		assert.Empty(t, header(r, "kafka_topic"))
	}
	assert.Contains(t, reasons[""], "data: is empty")
	assert.Contains(t, reasons["\xff"], "data: is not valid UTF-8")
}

func TestKafkaToZatoCommitsOnlyPublishedRecords(t *testing.T) {
	t.Parallel()
	broker, server := kafkatest.Start(t), startZato(t)
	broker.CreateTopics(1, "orders", "dead")
	env := zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "DEAD_LETTER_TOPIC=dead")
	kafkatest.Produce(t, broker.Client(), record("orders", "k", "one"))

	rejected := startBridge(t, "kafka-to-zato.yaml", append(env, "ZATO_TOPIC=/forbidden")...)
	rejected.awaitLog("the server answered 403")
	rejected.interrupt() // commits the offsets of acknowledged records
	assert.LessOrEqual(t, broker.Committed("zato-connect", "orders"), int64(0))

	server.Stop()
	env = append(env, "KAFKA_GROUP=another", "ZATO_TOPIC=/in")
	startBridge(t, "kafka-to-zato.yaml", env...).awaitLog("connection refused")
	assert.LessOrEqual(t, broker.Committed("another", "orders"), int64(0))
	require.NoError(t, server.Restart())
	assert.Equal(t, []string{"one"}, awaitPublished(t, server, "/in", 1))
	eventually(t, func() bool { return broker.Committed("another", "orders") == 1 }, "not committed")

	aside := zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "DEAD_LETTER_TOPIC=dead", "KAFKA_GROUP=third",
		"DEAD_LETTER_STATUS=400|403", "ZATO_TOPIC=/forbidden")
	startBridge(t, "kafka-to-zato.yaml", aside...)
	dead := consume(t, broker.Client(kgo.ConsumeTopics("dead")), 1)[0]
	assert.Contains(t, header(dead, "dead_letter_reason"), "the server answered 403")
}

func TestZatoToKafkaWritesIDsAsHeadersAndWaitsForTheBroker(t *testing.T) {
	broker, server := kafkatest.Start(t), startZato(t)
	broker.CreateTopics(4, "orders")
	aside := filepath.Join(t.TempDir(), "aside.jsonl")
	env := zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "ZATO_TOPIC=/in", "TOO_LARGE="+aside)
	first := startBridge(t, "zato-to-kafka.yaml", env...)
	key := awaitSubscription(t, server)
	id := publish(t, server, `{"id": "k1", "n": 1}`)
	reader := broker.Client(kgo.ConsumeTopics("orders"))
	r := consume(t, reader, 1)[0]
	assert.Equal(t, []string{"k1", `{"id": "k1", "n": 1}`, id},
		[]string{string(r.Key), string(r.Value), header(r, "zato_msg_id")})
	assert.Equal(t, "/in", header(r, "zato_topic"))
	assert.Equal(t, "1", header(r, "zato_delivery_count"))

	broker.Stop()
	publish(t, server, `{"id": "k1", "n": 2}`)
	publish(t, server, "no JSON")
	awaitFetched(t, server, 2)
	first.kill()
	broker.Restart()
	publish(t, server, strings.Repeat("x", 1_000_001))
	startBridge(t, "zato-to-kafka.yaml", env...)
	assert.Equal(t, key, awaitSubscription(t, server), "the same subscription")
	records := map[string]*kgo.Record{}
	for _, r := range consume(t, reader, 2) {
		records[string(r.Value)] = r
	}
	require.Contains(t, records, `{"id": "k1", "n": 2}`)
	require.Contains(t, records, "no JSON")
	assert.Empty(t, records["no JSON"].Key)
	assert.Equal(t, "2", header(records["no JSON"], "zato_delivery_count"))
	eventually(t, func() bool {
		content, err := os.ReadFile(aside)
		return err == nil && strings.Contains(string(content), strings.Repeat("x", 1_000_001))
	}, "the large message is not in the file")
}
