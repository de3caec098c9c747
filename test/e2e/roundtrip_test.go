package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/zato-connect/zato-connect/internal/testkit/kafkatest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// The number of records, and how often the broker and the server are each restarted
// meanwhile. make test-kafka sets higher numbers.
var (
	recordCount  = fromEnv("KAFKA_RECORDS", 6000)
	restartCount = fromEnv("KAFKA_RESTARTS", 1)
)

func fromEnv(name string, defaultValue int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return defaultValue
}

// recordContent is the content of a record.
type recordContent struct {
	ID string `json:"id"` // the key
	N  int    `json:"n"`  // the number of the record among those with the same key
}

// roundTrip counts the records that have come back.
type roundTrip struct {
	t *testing.T
	// The ids that identify duplicates. Zato's message id identifies a message that Zato
	// or the second bridge has repeated. The correlation id identifies a record that the
	// first bridge has published twice.
	messages, publications map[string]bool
	last                   map[string]int // the last number of each key
	redelivered            int
	republished            int
	outOfOrder             int
}

func newRoundTrip(t *testing.T) *roundTrip {
	t.Helper()
	return &roundTrip{t: t, messages: map[string]bool{}, publications: map[string]bool{}, last: map[string]int{}}
}

// receive counts a record. It drops duplicates.
func (r *roundTrip) receive(rec *kgo.Record) {
	message, publication := header(rec, "zato_msg_id"), header(rec, "zato_correl_id")
	require.NotEmpty(r.t, message)
	require.NotEmpty(r.t, publication)
	switch {
	case r.messages[message]:
		r.redelivered++
		return
	case r.publications[publication]:
		r.republished++
		return
	}
	r.messages[message], r.publications[publication] = true, true
	var content recordContent
	require.NoError(r.t, json.Unmarshal(rec.Value, &content))
	assert.Equal(r.t, content.ID, string(rec.Key))
	if content.N != r.last[content.ID]+1 {
		r.outOfOrder++
	}
	r.last[content.ID] = content.N
}

// received returns the number of different records that have come back.
func (r *roundTrip) received() int { return len(r.publications) }

// plannedRestart is a restart that happens once progress has reached a certain number.
type plannedRestart struct {
	name     string
	progress func() int
	restart  func()
}

func TestRecordsComeBackThroughZatoInOrderDespiteRestarts(t *testing.T) {
	const keys = 500
	broker, server := kafkatest.Start(t), startZato(t)
	broker.CreateTopics(12, "there", "back", "dead")
	all := make([]*kgo.Record, recordCount)
	for i := range all {
		key := "key-" + strconv.Itoa(i%keys)
		all[i] = record("there", key, fmt.Sprintf(`{"id":%q,"n":%d}`, key, i/keys+1))
	}
	kafkatest.Produce(t, broker.Client(), all...)

	env := zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "ZATO_TOPIC=/in")
	startBridge(t, "zato-to-kafka.yaml", append(env, "KAFKA_TOPIC=back")...)
	awaitSubscription(t, server)
	began := time.Now()
	startBridge(t, "kafka-to-zato.yaml",
		append(env, "KAFKA_TOPIC=there", "DEAD_LETTER_TOPIC=dead", "PARALLEL=12")...)

	trip := newRoundTrip(t)
	runRoundTrip(t, broker, trip, planRestarts(broker, server, trip))
	took := time.Since(began)
	t.Logf("%d records in %s, %.0f a second, with %d restarts of each; dropped: %d published again, %d delivered again",
		recordCount, took.Round(time.Millisecond), float64(recordCount)/took.Seconds(), restartCount,
		trip.republished, trip.redelivered)
	assert.Equal(t, recordCount, trip.received(), "lost")
	assert.Zero(t, trip.outOfOrder, "out of order within their key")
	eventually(t, func() bool { return broker.Committed("zato-connect", "there") == int64(recordCount) }, "not committed")
	// Messages that were published twice may still be in the queue.
	eventually(t, func() bool { return server.Subscriptions()[0].Depth == 0 }, "messages are left at the server")
}

// planRestarts returns the restarts in their order.
func planRestarts(broker *kafkatest.Broker, server *wsxtest.Server, trip *roundTrip) []plannedRestart {
	var out []plannedRestart
	for range restartCount {
		out = append(out,
			plannedRestart{
				"the server",
				func() int { return len(server.Published()) },
				func() { server.Stop(); require.NoError(trip.t, server.Restart()) },
			},
			plannedRestart{"the broker", trip.received, func() { broker.Stop(); broker.Restart() }})
	}
	return out
}

// runRoundTrip receives records until all have come back. The planned restarts are spread
// evenly over the records.
func runRoundTrip(t *testing.T, broker *kafkatest.Broker, trip *roundTrip, planned []plannedRestart) {
	t.Helper()
	reader := broker.Client(kgo.ConsumeTopics("back"))
	parts, lastReceived := len(planned)+1, time.Now()
	for trip.received() < recordCount || len(planned) > 0 {
		if done := parts - len(planned); len(planned) > 0 && planned[0].progress() >= done*recordCount/parts {
			t.Logf("restarting %s after %d records came back", planned[0].name, trip.received())
			planned[0].restart()
			planned = planned[1:]
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		fetches := reader.PollFetches(ctx)
		cancel()
		fetches.EachRecord(trip.receive)
		if fetches.NumRecords() > 0 {
			lastReceived = time.Now()
		}
		require.Less(t, time.Since(lastReceived), kafkatest.Timeout,
			"%d of %d records came back", trip.received(), recordCount)
	}
}
