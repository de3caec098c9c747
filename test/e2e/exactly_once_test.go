package e2e_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/zato-connect/zato-connect/internal/testkit/kafkatest"
)

// The numbers of records and of kills. make test-kafka sets higher numbers. After each kill, the
// next bridge waits until the session of the last one has timed out.
var (
	onceRecords = fromEnv("KAFKA_ONCE_RECORDS", 2000)
	onceKills   = fromEnv("KAFKA_ONCE_KILLS", 1)
)

func TestRecordsArePublishedExactlyOnceAlthoughTheBridgeIsKilled(t *testing.T) {
	const partitions = 4
	broker, server := kafkatest.Start(t), startCompanion(t)
	broker.CreateTopics(partitions, "orders", "dead")
	records := make([]*kgo.Record, onceRecords)
	for i := range records {
		records[i] = record("orders", strconv.Itoa(i), strconv.Itoa(i))
	}
	produce(t, broker.Client(), records...)
	server.DelayResponses(20 * time.Millisecond) // about as long as a real Zato takes for a short list
	env := zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "DEAD_LETTER_TOPIC=dead", "ZATO_TOPIC=/in", "PARALLEL=4")
	calls := func() int { return server.Invocations("connect.publish") }
	for n := range onceKills {
		before, cuts := calls(), server.SessionsOpened()
		b := startBridge(t, "kafka-to-zato.yaml", env...)
		eventually(t, func() bool { return calls() > before+2 }, "nothing is published")
		server.CutBeforeResponse(1)
		eventually(t, func() bool { return calls() > before+5 || server.SessionsOpened() > cuts+partitions },
			"nothing is published after a cut")
		if n%5 == 0 {
			server.Stop()
			require.NoError(t, server.Restart())
			before = calls()
			eventually(t, func() bool { return calls() > before }, "nothing is published after a restart")
		}
		b.kill() // before it commits what it has published: it does so once a second
	}
	startBridge(t, "kafka-to-zato.yaml", env...)
	eventually(t, func() bool { return broker.Committed("zato-connect", "orders") == int64(onceRecords) },
		"not all committed")

	ids, contents, next := map[string]bool{}, map[string]bool{}, map[int]int{}
	for _, m := range server.Published() {
		assert.False(t, ids[m.ID], "published twice: %s", m.ID)
		ids[m.ID], contents[textOf(t, m.Data)] = true, true
		var partition, offset int
		_, err := fmt.Sscanf(m.ID, "/in orders/%d/%d ", &partition, &offset)
		require.NoError(t, err)
		assert.Equal(t, next[partition], offset, "out of order in partition %d", partition)
		next[partition] = offset + 1
	}
	assert.Len(t, contents, onceRecords, "lost")
	assert.Len(t, ids, onceRecords)
	t.Logf("%d records in %d calls, %d times killed", onceRecords, calls(), onceKills)
}
