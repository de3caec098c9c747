#!/usr/bin/env bash
# benthos v4.80.0, the engine of Redpanda Connect.
#
# An incomplete batch of an output is not written at a stop. The input waits for the acknowledgements of its messages,
# and the batch waits for the input to end. When shutdown_timeout has passed, the batch is dropped, although the output
# could have been reached all the time. No line at INFO or above says so. Only a period that ends earlier saves it.
#
# Here the batch holds three messages when SIGTERM arrives, and shutdown_timeout is 10s. Seen:
#
#   count: wrote 0 messages
#   count and a period of 4s: wrote 3 messages
#
# The guide to batching says that remaining messages are flushed during shutdown. For users: give each batching policy
# a period well below shutdown_timeout. An input that cannot replay messages loses those that wait.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

export GOFLAGS=-mod=mod
go mod init finding
go get github.com/redpanda-data/benthos/v4/cmd/benthos@v4.80.0
go build -o benthos github.com/redpanda-data/benthos/v4/cmd/benthos

# stop_with POLICY prints how many of three messages are written if SIGTERM arrives while they wait in a batch.
stop_with() {
	rm -f written
	cat >config.yaml <<END
input:
  generate: { interval: 1h, batch_size: 3, mapping: root = "message" }
pipeline:
  processors:
    - log: { message: the messages are on their way }
output:
  broker:
    outputs:
      - file: { path: written, codec: lines }
    batching: $1
shutdown_timeout: 10s
http: { enabled: false }
END
	timeout 60 ./benthos run config.yaml >log 2>&1 &
	local pid=$!
	until grep -q 'on their way' log; do
		kill -0 $pid
		sleep 0.1
	done
	sleep 1 # until the messages are in the batch
	kill -TERM $pid
	wait $pid || true
	if [[ -e written ]]; then wc -l <written; else echo 0; fi
}

expected='count: wrote 0 messages
count and a period of 4s: wrote 3 messages'
seen="count: wrote $(stop_with '{ count: 10 }') messages
count and a period of 4s: wrote $(stop_with '{ count: 10, period: 4s }') messages"

echo "$seen"
if [[ $seen != "$expected" ]]; then
	echo "The behaviour has changed. Expected: $expected" >&2
	exit 1
fi
