#!/usr/bin/env bash
# benthos v4.80.0, the engine of Redpanda Connect.
#
# The output `retry` ignores backoff.initial_interval. Its waits begin at 500ms, the default of the library for
# back-offs, and not at the interval that is configured.
#
# Here initial_interval and max_interval are 10s, and four attempts fail. Less the jitter, the three waits should take
# 15 seconds at least. Seen:
#
#   all four attempts were made within 10 seconds
#
# The reference calls the field the initial period to wait between attempts. For users: choose max_retries as if the
# first wait were 500ms, or the retries end earlier than planned. Authors of components meet the same with FieldBackOff
# of ParsedConfig: call Reset of its result before the first NextBackOff.
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
  generate: { count: 1, interval: "", mapping: root = "message" }
output:
  fallback:
    - retry:
        max_retries: 3
        backoff: { initial_interval: 10s, max_interval: 10s }
        output:
          reject: refused
          processors:
            - log: { message: attempt }
    - drop: {}
http: { enabled: false }
END
SECONDS=0
timeout 120 ./benthos run config.yaml >log 2>&1
took=$SECONDS

expected="all four attempts were made within 10 seconds"
seen="$(grep -c attempt log) attempts were made within $took seconds"
if (($(grep -c attempt log) == 4 && took <= 10)); then
	seen=$expected
fi

echo "$seen"
if [[ $seen != "$expected" ]]; then
	echo "The behaviour has changed. Expected: $expected" >&2
	exit 1
fi
