package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	kafkaTopic      = "records"
	kafkaGroup      = "bench"
	kafkaPartitions = batchesInFlight
	// bridgeTimeout is how long a bridge may take for all records.
	bridgeTimeout = time.Hour
)

// kafkaYAML is a bridge from Kafka to Zato. Its arguments are the broker, the size of a batch, and the topic in Zato.
const kafkaYAML = `
input:
  redpanda:
    seed_brokers: [ %q ]
    topics: [ ` + kafkaTopic + ` ]
    consumer_group: ` + kafkaGroup + `
    max_yield_batch_bytes: %dB
    commit_period: 100ms
output: { zato_wsx: { connection: { CONNECTION }, topic: %q, max_in_flight: 64 } }
`

func (z *zatoServer) kafkaComparisons() []comparison {
	return []comparison{{
		name:       fmt.Sprintf("bridge %d records from Kafka in batches of 100", z.records),
		quantities: []quantity{rateOf("records")},
		sides:      z.sides(z.bridgeFromKafka),
	}}
}

// bridgeFromKafka measures how many records a second a build publishes and commits.
func (z *zatoServer) bridgeFromKafka(b *build) measurement {
	return func(ctx context.Context, _ time.Duration) ([]float64, error) {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(kafkaPartitions, kafkaTopic))
		if err != nil {
			return nil, err
		}
		defer cluster.Close()
		broker := cluster.ListenAddrs()[0]
		client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			return nil, err
		}
		defer client.Close()
		p, err := b.start(ctx, fmt.Sprintf(kafkaYAML, broker, batchSize*recordSize, z.quietTopic()), nil)
		if err != nil {
			return nil, err
		}
		defer p.end()
		admin, total := kadm.NewClient(client), 0
		bridge := func(n int) (time.Duration, error) {
			start := time.Now()
			total += n
			if err := produce(ctx, client, n); err != nil {
				return 0, err
			}
			err := p.until(ctx, bridgeTimeout, pollInterval, func() bool { return committed(ctx, admin) == total })
			return time.Since(start), err
		}
		// The bridge has to join its group first.
		if _, err := bridge(kafkaPartitions); err != nil {
			return nil, err
		}
		took, err := bridge(z.records)
		return []float64{float64(z.records) / took.Seconds()}, err
	}
}

// produce writes records to the partitions in turn.
func produce(ctx context.Context, client *kgo.Client, n int) error {
	value := []byte(strings.Repeat("x", recordSize))
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: kafkaTopic, Partition: int32(i % kafkaPartitions), Value: value}
	}
	return client.ProduceSync(ctx, records...).FirstErr()
}

// committed returns how many records the group has committed.
func committed(ctx context.Context, admin *kadm.Client) int {
	offsets, err := admin.FetchOffsets(ctx, kafkaGroup)
	if err != nil {
		return 0 // there is no group yet
	}
	n := 0
	offsets.Each(func(o kadm.OffsetResponse) { n += int(max(0, o.At)) })
	return n
}
