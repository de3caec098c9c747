#!/usr/bin/env bash
# benthos v4.80.0, the engine of Redpanda Connect.
#
# With `auto_replay_nacks`, the default, an input repeats those messages of a batch that failed. In two cases it
# repeats a message that was delivered, and the one that failed is lost. The exit status is 0.
#
# - A processor `split` breaks the batch. A part that fails is taken for the first messages of the batch.
# - Of the messages that are repeated, again only some fail. Their positions in the first batch are taken for positions
#   in the smaller one.
#
# Seen, in the order of delivery:
#
#   m2 fails once: m1 m2
#   m2 fails once, behind a split: m1 m1
#   m2 fails twice and m4 once: m1 m3 m4 m4
#
# The reference says that rejected messages are replayed indefinitely. For users: let such an input read batches of one
# message; a `split` does not help. Authors of inputs get this from service.AutoRetryNacksBatched.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

export GOFLAGS=-mod=mod
go mod init finding
go get github.com/redpanda-data/benthos/v4/cmd/benthos@v4.80.0
go build -o benthos github.com/redpanda-data/benthos/v4/cmd/benthos

# deliver SIZE PROCESSOR FAILURES prints what is delivered of a batch if messages fail as often as FAILURES says.
deliver() {
	rm -f delivered
	cat >config.yaml <<END
input:
  generate:
    count: $1
    batch_size: $1
    interval: ""
    mapping: root = "m%d".format(count("message"))
pipeline:
  processors:
    - $2
    - mutation: |
        let failures = $3.get(content().string()).or(0)
        root = if count("attempts of " + content().string()) <= \$failures { throw("busy") }
output:
  reject_errored:
    file: { path: delivered, codec: lines }
logger: { level: OFF }
http: { enabled: false }
END
	timeout 60 ./benthos run config.yaml
	paste -sd' ' delivered
}

expected='m2 fails once: m1 m2
m2 fails once, behind a split: m1 m1
m2 fails twice and m4 once: m1 m3 m4 m4'
seen="m2 fails once: $(deliver 2 'noop: {}' '{ "m2": 1 }')
m2 fails once, behind a split: $(deliver 2 'split: {}' '{ "m2": 1 }')
m2 fails twice and m4 once: $(deliver 4 'noop: {}' '{ "m2": 2, "m4": 1 }')"

echo "$seen"
if [[ $seen != "$expected" ]]; then
	echo "The behaviour has changed. Expected: $expected" >&2
	exit 1
fi
