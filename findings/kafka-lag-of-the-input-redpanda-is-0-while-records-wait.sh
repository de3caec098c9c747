#!/usr/bin/env bash
# Redpanda Connect v4.110.0, its inputs `kafka` and `redpanda`, with the broker kfake of franz-go.
#
# Both inputs set the metadata field kafka_lag. With `kafka`, it is how many records of the partition follow. With
# `redpanda`, it is the lag of the consumer group when it was last measured, which is every 5 seconds by default. Before
# the first measurement, it is 0.
#
# Here each input reads a topic with five records. Seen, as the kafka_lag of each:
#
#   kafka 4 3 2 1 0
#   redpanda 0 0 0 0 0
#
# The reference of `kafka` describes the field, that of `redpanda` only lists it. For users: `kafka` is deprecated. A
# pipeline that takes a kafka_lag of 0 for the end of the topic, for example in the check of `read_until`, stops after
# its first batch if `redpanda` replaces it, and its exit status is 0. Let idle_timeout of `read_until` stop it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

export GOFLAGS=-mod=mod
go mod init finding
go get github.com/redpanda-data/connect/v4/public/components/kafka@v4.110.0 \
	github.com/redpanda-data/benthos/v4/public/components/pure@v4.80.0 \
	github.com/twmb/franz-go/pkg/kgo@v1.22.3 \
	github.com/twmb/franz-go/pkg/kfake@v0.0.0-20260918054303-01f206a7e32c

cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

var inputs = []struct{ name, yaml string }{
	{"kafka", `kafka: { addresses: [ %q ], topics: [ orders ], consumer_group: kafka }`},
	{"redpanda", `redpanda: { seed_brokers: [ %q ], topics: [ orders ], consumer_group: redpanda }`},
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	check(err)
	defer cluster.Close()
	broker := cluster.ListenAddrs()[0]
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	check(err)
	for range 5 {
		check(client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("order")}).FirstErr())
	}

	for _, input := range inputs {
		lags := make(chan any)
		b := service.NewStreamBuilder()
		check(b.SetLoggerYAML("level: OFF"))
		check(b.AddInputYAML(fmt.Sprintf(input.yaml, broker)))
		check(b.AddConsumerFunc(func(ctx context.Context, m *service.Message) error {
			lag, _ := m.MetaGetMut("kafka_lag")
			lags <- lag
			return nil
		}))
		stream, err := b.Build()
		check(err)
		go func() { check(stream.Run(ctx)) }()
		fmt.Print(input.name)
		for range 5 {
			select {
			case lag := <-lags:
				fmt.Print(" ", lag)
			case <-ctx.Done():
				check(ctx.Err())
			}
		}
		fmt.Println()
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
END
go build -o finding .

expected='kafka 4 3 2 1 0
redpanda 0 0 0 0 0'
seen=$(timeout 90 ./finding)

echo "$seen"
if [[ $seen != "$expected" ]]; then
	echo "The behaviour has changed. Expected: $expected" >&2
	exit 1
fi
