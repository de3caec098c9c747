//go:build unix

package zato_test

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/zato-connect/zato-connect/internal/testkit/kafkatest"
)

const (
	recordsTopic = "orders"
	bridgeGroup  = "zato-connect" // of examples/kafka-to-zato.yaml
	partitions   = 4
)

// bridgeRow is the row of a bridge from Kafka that is killed.
func bridgeRow() *row {
	kill := fault{name: "kill -9 of a Kafka bridge"}
	return &row{gateway: "connect", input: "fetched", fields: fetchedFields, fault: kill}
}

func TestServerNamedByTheEnvironmentGetsEachRecordOnceAlthoughTheBridgeIsKilled(t *testing.T) {
	tgt := environmentTarget(t)
	if reason := tgt.lacks(bridgeRow()); reason != "" {
		t.Skip(reason)
	}
	newBridged(t, tgt).do()
}

func TestSimulatorGetsEachRecordOnceAlthoughTheBridgeIsKilled(t *testing.T) {
	t.Parallel()
	newBridged(t, simulatorTarget(t)).do()
}

// bridged is a run whose messages are published by a bridge from Kafka.
type bridged struct {
	*run

	broker      *kafkatest.Broker
	client      *kgo.Client
	example     string // the path of the configuration of the bridge
	bridgeProxy *proxy
	env         []string

	restarted int
	again     int // records that were published and not committed when a bridge was killed
}

// newBridged starts Kafka and a consumer.
func newBridged(t *testing.T, tgt *target) *bridged {
	t.Helper()
	b := &bridged{run: newRun(t, tgt, bridgeRow()), broker: kafkatest.Start(t)}
	b.broker.CreateTopics(partitions, recordsTopic, "dead")
	b.client = b.broker.Client()
	var err error
	b.example, err = filepath.Abs("../../examples/kafka-to-zato.yaml")
	require.NoError(t, err)
	address, err := url.Parse(tgt.addresses[b.row.gateway])
	require.NoError(t, err)
	b.bridgeProxy = newProxy(t, address.Host)
	address.Host = b.bridgeProxy.address()
	b.env = []string{
		"KAFKA_BROKERS=" + b.broker.Addr, "KAFKA_TOPIC=" + recordsTopic, "DEAD_LETTER_TOPIC=dead",
		"ZATO_WSX_ADDRESS=" + address.String(), "ZATO_WSX_USERNAME=" + tgt.username, "ZATO_WSX_SECRET=" + tgt.secret,
		"ZATO_TOPIC=" + b.topic, "PARALLEL=" + strconv.Itoa(partitions), "METRICS_ADDRESS=127.0.0.1:0",
	}
	return b
}

// do kills bridges while they publish records, and checks that each record arrives once. Each bridge also loses a
// response, and the server restarts under every fifth.
func (b *bridged) do() {
	consumer, part := b.running[0], *recordsFlag/(*killsFlag+1)/3
	for n := range *killsFlag {
		bridge := b.startBridge()
		b.produce(part)
		consumer.awaitLines(b.next - part + 1)
		b.bridgeProxy.loseResponse()
		b.produce(part)
		if n%5 == 0 {
			b.restartServer()
		}
		b.produce(part)
		consumer.awaitLines(b.next - part + 1 + b.rand.IntN(part))
		bridge.kill() // it commits what it has published once a second
		consumer.read()
		b.again += len(consumer.lines) - int(b.committed())
	}
	bridge := b.startBridge()
	b.produce(*recordsFlag - b.next)
	b.settle()
	require.Eventually(b.t, func() bool { return b.committed() == int64(*recordsFlag) }, eventTimeout, pollInterval,
		"not all committed")
	bridge.stop()
	b.check(b.finish(*killsFlag))
}

func (b *bridged) committed() int64 { return b.broker.Committed(bridgeGroup, recordsTopic) }

// startBridge starts a bridge. If the last one was killed, it gets records when Kafka has noticed that.
func (b *bridged) startBridge() *process {
	return startProcess(b.t, b.t.TempDir(), b.example, b.env...)
}

// produce writes the next n records.
func (b *bridged) produce(n int) {
	records := make([]*kgo.Record, n)
	for i, text := range b.texts(n) {
		records[i] = &kgo.Record{Topic: recordsTopic, Key: []byte(strconv.Itoa(i)), Value: []byte(text)}
	}
	kafkatest.Produce(b.t, b.client, records...)
}

// restartServer restarts the server, after a stop and after a kill in turn, as far as that is possible.
func (b *bridged) restartServer() {
	kinds := []string{"server restart", "server kill -9"}
	for i := range kinds {
		if restart := b.target.restarts[kinds[(b.restarted+i)%len(kinds)]]; restart != nil {
			restart(b.t)
			b.restarted++
			return
		}
	}
}

// check fails the test unless each record was written once, and those of a partition in their order.
func (b *bridged) check(res result) {
	twice, next, written := 0, map[int]int{}, map[int]bool{}
	for _, l := range b.ended[0].lines {
		if written[l.Number] {
			twice++
			continue
		}
		written[l.Number] = true
		var partition, offset int
		_, err := fmt.Sscanf(l.ID, b.topic+" "+recordsTopic+"/%d/%d ", &partition, &offset)
		require.NoError(b.t, err, l.ID)
		assert.Equal(b.t, next[partition], offset, "out of order in partition %d", partition)
		next[partition] = offset + 1
	}
	b.t.Logf("%d restarts of the server; %d records were published and not committed when a bridge was killed; "+
		"twice: %d%s", b.restarted, b.again, twice, table([]result{res}))
	assert.Equal(b.t, *recordsFlag, res.messages)
	assert.Zero(b.t, res.lost, "lost")
	assert.Zero(b.t, twice, "twice")
}
