#!/usr/bin/env bash
# Redpanda Connect v4.110.0, its input and output `redpanda`, with the broker kfake of franz-go.
#
# The input sets metadata such as kafka_topic and kafka_offset, and then one field for each header of the record. A
# header with one of these names replaces the position of the record, without a log line. Connect's own output writes
# such headers if its field `metadata` includes all names.
#
# Here one pipeline copies three records of the topic "orders" to the topic "copy", behind a record that is there. A
# second pipeline reads "copy" and prints the metadata. Seen, where orders/0/0 should be copy/0/1, and so on:
#
#   earlier copy/0/0
#   a orders/0/0
#   b orders/0/1
#   c orders/0/2
#
# The reference lists the fields and "All record headers" together and does not say which one wins. For users: an id
# that is built from the position can name a record of another topic. Let the output write only headers that you need,
# and do not rely on these fields if others write to the topic.
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
	"strings"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	input  = `redpanda: { seed_brokers: [ %q ], topics: [ %q ], consumer_group: finding }`
	output = `redpanda: { seed_brokers: [ %q ], topic: %q, metadata: { include_patterns: [ ".*" ] } }`
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "copy"))
	check(err)
	defer cluster.Close()
	broker := cluster.ListenAddrs()[0]
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	check(err)
	for _, record := range []string{"copy earlier", "orders a", "orders b", "orders c"} {
		topic, value, _ := strings.Cut(record, " ")
		check(client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr())
	}

	lines := make(chan string)
	go run(ctx, func(b *service.StreamBuilder) {
		check(b.AddInputYAML(fmt.Sprintf(input, broker, "orders")))
		check(b.AddOutputYAML(fmt.Sprintf(output, broker, "copy")))
	})
	go run(ctx, func(b *service.StreamBuilder) {
		check(b.AddInputYAML(fmt.Sprintf(input, broker, "copy")))
		check(b.AddProcessorYAML(
			`mapping: root = "%s %v/%v/%v".format(content().string(), @kafka_topic, @kafka_partition, @kafka_offset)`))
		check(b.AddConsumerFunc(func(ctx context.Context, m *service.Message) error {
			line, err := m.AsBytes()
			lines <- string(line)
			return err
		}))
	})
	for range 4 {
		select {
		case line := <-lines:
			fmt.Println(line)
		case <-ctx.Done():
			check(ctx.Err())
		}
	}
}

func run(ctx context.Context, configure func(*service.StreamBuilder)) {
	b := service.NewStreamBuilder()
	check(b.SetLoggerYAML("level: OFF"))
	configure(b)
	stream, err := b.Build()
	check(err)
	check(stream.Run(ctx))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
END
go build -o finding .

expected='earlier copy/0/0
a orders/0/0
b orders/0/1
c orders/0/2'
seen=$(timeout 90 ./finding)

echo "$seen"
if [[ $seen != "$expected" ]]; then
	echo "The behaviour has changed. Expected: $expected" >&2
	exit 1
fi
