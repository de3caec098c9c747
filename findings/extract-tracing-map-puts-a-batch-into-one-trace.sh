#!/usr/bin/env bash
# Redpanda Connect v4.110.0, its input `redpanda`, with the broker kfake of franz-go v1.22.3, and the SDK of
# OpenTelemetry v1.46.0.
#
# The field extract_tracing_map is evaluated for the first message of a batch only. The other messages of the batch
# become part of its trace, and their own traces end at the publisher.
#
# Here three records of a topic have different headers `traceparent`. Seen, as the traces that were sent and received:
#
#   first sent 11111111111111111111111111111111 received 11111111111111111111111111111111
#   second sent 22222222222222222222222222222222 received 11111111111111111111111111111111
#   third sent 33333333333333333333333333333333 received 11111111111111111111111111111111
#
# The reference calls the extracted object the root span "for the message". For users: with inputs that read batches,
# only one trace of a batch goes on. It is complete in tests that publish one message at a time.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

export GOFLAGS=-mod=mod
go mod init finding
go get github.com/redpanda-data/connect/v4/public/components/kafka@v4.110.0 \
	github.com/redpanda-data/benthos/v4/public/components/pure@v4.80.0 \
	github.com/twmb/franz-go/pkg/kgo@v1.22.3 \
	github.com/twmb/franz-go/pkg/kfake@v0.0.0-20260918054303-01f206a7e32c \
	go.opentelemetry.io/otel/sdk@v1.46.0

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
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const input = `
redpanda:
  seed_brokers: [ %q ]
  topics: [ orders ]
  consumer_group: readers
  extract_tracing_map: root.traceparent = @traceparent
`

const processor = `
mapping: |
  let sent = @traceparent.split("-").index(1)
  root = "%s sent %s received %s".format(content().string(), $sent, tracing_id())
`

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	check(service.RegisterOtelTracerProvider("sdk", service.NewConfigSpec(),
		func(*service.ParsedConfig) (trace.TracerProvider, error) { return sdktrace.NewTracerProvider(), nil }))
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	check(err)
	defer cluster.Close()
	broker := cluster.ListenAddrs()[0]
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	check(err)
	for i, value := range []string{"first", "second", "third"} {
		parent := fmt.Sprintf("00-%s-%s-01", strings.Repeat(fmt.Sprint(i+1), 32), strings.Repeat("a", 16))
		header := kgo.RecordHeader{Key: "traceparent", Value: []byte(parent)}
		record := &kgo.Record{Topic: "orders", Value: []byte(value), Headers: []kgo.RecordHeader{header}}
		check(client.ProduceSync(ctx, record).FirstErr())
	}

	lines := make(chan string)
	b := service.NewStreamBuilder()
	check(b.SetLoggerYAML("level: OFF"))
	check(b.SetTracerYAML("sdk: {}"))
	check(b.AddInputYAML(fmt.Sprintf(input, broker)))
	check(b.AddProcessorYAML(processor))
	check(b.AddConsumerFunc(func(ctx context.Context, m *service.Message) error {
		line, err := m.AsBytes()
		lines <- string(line)
		return err
	}))
	stream, err := b.Build()
	check(err)
	go stream.Run(ctx)
	for range 3 {
		select {
		case line := <-lines:
			fmt.Println(line)
		case <-ctx.Done():
			check(ctx.Err())
		}
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

expected='first sent 11111111111111111111111111111111 received 11111111111111111111111111111111
second sent 22222222222222222222222222222222 received 11111111111111111111111111111111
third sent 33333333333333333333333333333333 received 11111111111111111111111111111111'
seen=$(timeout 90 ./finding)

echo "$seen"
if [[ $seen != "$expected" ]]; then
	echo "The behaviour has changed. Expected: $expected" >&2
	exit 1
fi
