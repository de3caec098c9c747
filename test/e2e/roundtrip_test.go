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
	records  = fromEnv("KAFKA_RECORDS", 6000)
	restarts = fromEnv("KAFKA_RESTARTS", 1)
)

func fromEnv(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// sample is the content of a record.
type sample struct {
	ID string `json:"id"` // the key
	N  int    `json:"n"`  // counts up for each key
}

// journey is what has come back so far.
type journey struct {
	t *testing.T
	// The ids by which a reader can tell repeats: Zato's own of what Zato or the
	// second bridge repeats, the publisher's of what the first bridge repeats.
	messages, sources map[string]bool
	last              map[string]int // of each key
	redelivered       int
	republished       int
	disordered        int
}

func newJourney(t *testing.T) *journey {
	t.Helper()
	return &journey{t: t, messages: map[string]bool{}, sources: map[string]bool{}, last: map[string]int{}}
}

// arrive takes a record, and drops it if it is a repeat.
func (j *journey) arrive(r *kgo.Record) {
	message, source := header(r, "zato_msg_id"), header(r, "zato_correl_id")
	require.NotEmpty(j.t, message)
	require.NotEmpty(j.t, source)
	switch {
	case j.messages[message]:
		j.redelivered++
		return
	case j.sources[source]:
		j.republished++
		return
	}
	j.messages[message], j.sources[source] = true, true
	var s sample
	require.NoError(j.t, json.Unmarshal(r.Value, &s))
	assert.Equal(j.t, s.ID, string(r.Key))
	if s.N != j.last[s.ID]+1 {
		j.disordered++
	}
	j.last[s.ID] = s.N
}

// home is how many different records have come back.
func (j *journey) home() int { return len(j.sources) }

// restart is one thing that goes away and comes back.
type restart struct {
	name     string
	progress func() int
	do       func()
}

func TestRecordsComeBackThroughZatoInOrderWhateverIsRestarted(t *testing.T) {
	const keys = 500
	broker, server := kafkatest.Start(t), startZato(t)
	broker.CreateTopics(12, "there", "back", "dead")
	all := make([]*kgo.Record, records)
	for i := range all {
		key := "key-" + strconv.Itoa(i%keys)
		all[i] = record("there", key, fmt.Sprintf(`{"id":%q,"n":%d}`, key, i/keys+1))
	}
	produce(t, broker.Client(), all...)

	env := zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "ZATO_TOPIC=/in", "STATE="+t.TempDir())
	startBridge(t, "zato-to-kafka.yaml", append(env, "KAFKA_TOPIC=back")...)
	subscribed(t, server)
	began := time.Now()
	startBridge(t, "kafka-to-zato.yaml",
		append(env, "KAFKA_TOPIC=there", "DEAD_LETTER_TOPIC=dead", "PARALLEL=12")...)

	back := newJourney(t)
	travel(t, broker, back, disturbances(broker, server, back))
	took := time.Since(began)
	t.Logf("%d records in %s, %.0f a second, with %d restarts of each; dropped: %d published again, %d delivered again",
		records, took.Round(time.Millisecond), float64(records)/took.Seconds(), restarts, back.republished, back.redelivered)
	assert.Equal(t, records, back.home(), "lost")
	assert.Zero(t, back.disordered, "out of order within their key")
	eventually(t, func() bool { return broker.Committed("zato-connect", "there") == int64(records) }, "not committed")
	// What was published again may be on its way still.
	eventually(t, func() bool { return server.Subscriptions()[0].Depth == 0 }, "something is left at the server")
}

// disturbances are spread over the journey.
func disturbances(broker *kafkatest.Broker, server *wsxtest.Server, back *journey) []restart {
	var out []restart
	for range restarts {
		out = append(out,
			restart{
				"the server",
				func() int { return server.Invocations("zato.pubsub.pubapi.publish-message") },
				func() { server.Stop(); require.NoError(back.t, server.Restart()) },
			},
			restart{"the broker", back.home, func() { broker.Stop(); broker.Restart() }})
	}
	return out
}

// travel reads what comes back until all of it has, restarting things on the way.
func travel(t *testing.T, broker *kafkatest.Broker, back *journey, todo []restart) {
	t.Helper()
	reader := broker.Client(kgo.ConsumeTopics("back"))
	parts, quiet := len(todo)+1, time.Now()
	for back.home() < records || len(todo) > 0 {
		if done := parts - len(todo); len(todo) > 0 && todo[0].progress() >= done*records/parts {
			t.Logf("restarting %s after %d records came back", todo[0].name, back.home())
			todo[0].do()
			todo = todo[1:]
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		fetches := reader.PollFetches(ctx)
		cancel()
		fetches.EachRecord(back.arrive)
		if fetches.NumRecords() > 0 {
			quiet = time.Now()
		}
		require.Less(t, time.Since(quiet), kafkatest.Timeout, "%d of %d records came back", back.home(), records)
	}
}
