#!/usr/bin/env bash
# benthos v4.80.0, the engine of Redpanda Connect.
#
# The first output of a `fallback` has a processor that drops one message of a batch. If it then fails to deliver a
# message behind that one, the fallback passes a neighbour to the next output, which has been delivered already. The
# message that failed is acknowledged and reaches no output. The exit status is 0.
#
# Here the first output drops "a", delivers "b" and rejects "c". Seen:
#
#   first: b
#   second: b
#
# The reference promises that the whole batch goes to the next output if the failed messages cannot be determined. For
# users: drop messages in front of the fallback, not within it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

export GOFLAGS=-mod=mod
go mod init finding
go get github.com/redpanda-data/benthos/v4/cmd/benthos@v4.80.0
go build -o benthos github.com/redpanda-data/benthos/v4/cmd/benthos

cat >config.yaml <<'END'
input:
  generate:
    count: 3
    batch_size: 3
    interval: ""
    mapping: root = ["a", "b", "c"].index(count("message") - 1)
output:
  fallback:
    - reject_errored:
        file: { path: first, codec: lines }
      processors:
        - mapping: |
            root = match content().string() {
              "a" => deleted()
              "c" => throw("refused")
            }
    - file: { path: second, codec: lines }
http: { enabled: false }
END
timeout 60 ./benthos run config.yaml

expected=$'first: b\nsecond: b'
seen="first: $(cat first)"$'\n'"second: $(cat second)"

echo "$seen"
if [[ $seen != "$expected" ]]; then
	echo "The behaviour has changed. Expected: $expected" >&2
	exit 1
fi
