package e2e_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/zato-connect/zato-connect/internal/testkit/kafkatest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// The number of bridges in the group, and of the records. make test-kafka sets higher numbers.
var (
	groupSize    = fromEnv("KAFKA_GROUP_SIZE", 2)
	groupRecords = fromEnv("KAFKA_GROUP_RECORDS", 2000)
)

const (
	groupName       = "zato-connect"
	groupPartitions = 8
)

// published counts the publications of a group of bridges.
type published struct {
	different  int
	duplicates int
	outOfOrder int // in their partition, without duplicates
}

// countPublished counts the publications by the position of their record, which is their correl_id.
func countPublished(t *testing.T, server *wsxtest.Server) published {
	t.Helper()
	var out published
	seen, next := map[string]bool{}, map[int]int{}
	for _, m := range server.Published() {
		if seen[m.CorrelID] {
			out.duplicates++
			continue
		}
		seen[m.CorrelID] = true
		var partition, offset int
		_, err := fmt.Sscanf(m.CorrelID, "orders/%d/%d", &partition, &offset)
		require.NoError(t, err)
		if offset != next[partition] {
			out.outOfOrder++
		}
		next[partition] = offset + 1
	}
	out.different = len(seen)
	return out
}

// evenShares returns how many partitions each of n members has after a rebalance.
func evenShares(n int) []int {
	out := make([]int, n)
	for p := range groupPartitions {
		out[p%n]++
	}
	return out
}

// awaitShares waits until the members of the group share the partitions evenly.
func awaitShares(t *testing.T, broker *kafkatest.Broker, members int) {
	t.Helper()
	var last []int
	shared := func() bool {
		last = broker.Shares(groupName)
		return slices.Equal(last, evenShares(members))
	}
	if !assert.Eventually(t, shared, bridgeTimeout, 20*time.Millisecond) {
		require.Fail(t, "the partitions are not shared", "%d members: %v", members, last)
	}
}

func TestGroupOfBridgesSharesThePartitionsAndLosesNothing(t *testing.T) {
	if os.Getenv(kafkatest.EnvVariable) == "" {
		t.Skip("make test-kafka runs it: it waits until the session of a killed bridge has timed out")
	}
	broker, server := kafkatest.Start(t), startZato(t)
	broker.CreateTopics(groupPartitions, "orders", "dead")
	env := zatoEnv(server, "KAFKA_BROKERS="+broker.Addr, "KAFKA_GROUP="+groupName, "DEAD_LETTER_TOPIC=dead",
		"ZATO_TOPIC=/in")
	var bridges []*bridge
	for range groupSize {
		bridges = append(bridges, startBridge(t, "kafka-to-zato.yaml", env...))
	}
	awaitShares(t, broker, groupSize)

	server.DelayResponses(5 * time.Millisecond) // about as long as a real Zato takes
	records := make([]*kgo.Record, groupRecords)
	for i := range records {
		records[i] = record("orders", strconv.Itoa(i), strconv.Itoa(i))
	}
	began := time.Now()
	kafkatest.Produce(t, broker.Client(), records...)
	atLeast := func(n int) {
		t.Helper()
		require.Eventually(t, func() bool { return len(server.Published()) >= n }, kafkatest.Timeout, 5*time.Millisecond)
	}
	atLeast(groupRecords / 4)
	rate := float64(groupRecords/4) / time.Since(began).Seconds()
	bridges[0].kill()
	killed := time.Now()
	atLeast(groupRecords / 3)
	metrics := streamtest.FreeAddress(t)
	startBridge(t, "kafka-to-zato.yaml", append(env, "METRICS_ADDRESS="+metrics)...)
	require.Eventually(t, func() bool { return broker.Committed(groupName, "orders") == int64(groupRecords) },
		2*kafkatest.Timeout, 20*time.Millisecond, "not all committed")
	awaitShares(t, broker, groupSize)
	awaitMetric(t, metrics, "redpanda_lag", "topic=orders", equal(0)) // an alert uses it

	result := countPublished(t, server)
	t.Logf("%d bridges, %d records: %.0f a second before one was killed, all %s after that; %d duplicates",
		groupSize, groupRecords, rate, time.Since(killed).Round(time.Millisecond), result.duplicates)
	assert.Equal(t, groupRecords, result.different, "lost")
	assert.Zero(t, result.outOfOrder, "out of order in their partition")
}
