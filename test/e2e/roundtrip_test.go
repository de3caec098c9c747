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

// What make test-kafka sets higher: how many records go round, and how often the
// broker and the server are each restarted meanwhile.
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
	N  int    `json:"n"`  // counts up for each key
}

// roundTrip is what has come back so far.
type roundTrip struct {
	t *testing.T
	// The ids by which a reader can tell repeats: Zato's own of what Zato or the
	// second bridge repeats, the publisher's of what the first bridge repeats.
	messages, publications map[string]bool
	last                   map[string]int // of each key
	redelivered            int
	republished            int
	outOfOrder             int
}

func newRoundTrip(t *testing.T) *roundTrip {
	t.Helper()
	return &roundTrip{t: t, messages: map[string]bool{}, publications: map[string]bool{}, last: map[string]int{}}
}

// receive takes a record, and drops it if it is a repeat.
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

// received is how many different records have come back.
func (r *roundTrip) received() int { return len(r.publications) }

// plannedRestart is one thing that goes away and comes back.
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
	produce(t, broker.Client(), all...)

	env := zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "ZATO_TOPIC=/in", "STATE="+t.TempDir())
	startBridge(t, "zato-to-kafka.yaml", append(env, "KAFKA_TOPIC=back")...)
	awaitSubscription(t, server)
	began := time.Now()
	startBridge(t, "kafka-to-zato.yaml",
		append(env, "KAFKA_TOPIC=there", "DEAD_LETTER_TOPIC=dead", "PARALLEL=12")...)

	trip := newRoundTrip(t)
	runRoundTrip(t, broker, trip, planRestarts(broker, server, trip))
	took := time.Since(began)
	t.Logf("%d records in %s, %.0f a second, with %d restarts of each; dropped: %d published again, %d delivered again",
		recordCount, took.Round(time.Millisecond), float64(recordCount)/took.Seconds(), restartCount, trip.republished, trip.redelivered)
	assert.Equal(t, recordCount, trip.received(), "lost")
	assert.Zero(t, trip.outOfOrder, "out of order within their key")
	eventually(t, func() bool { return broker.Committed("zato-connect", "there") == int64(recordCount) }, "not committed")
	// What was published again may be on its way still.
	eventually(t, func() bool { return server.Subscriptions()[0].Depth == 0 }, "something is left at the server")
}

// planRestarts are spread over the journey.
func planRestarts(broker *kafkatest.Broker, server *wsxtest.Server, trip *roundTrip) []plannedRestart {
	var out []plannedRestart
	for range restartCount {
		out = append(out,
			plannedRestart{
				"the server",
				func() int { return server.Invocations("zato.pubsub.pubapi.publish-message") },
				func() { server.Stop(); require.NoError(trip.t, server.Restart()) },
			},
			plannedRestart{"the broker", trip.received, func() { broker.Stop(); broker.Restart() }})
	}
	return out
}

// runRoundTrip reads what comes back until all of it has, restarting things on the way.
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
		require.Less(t, time.Since(lastReceived), kafkatest.Timeout, "%d of %d records came back", trip.received(), recordCount)
	}
}
