#!/usr/bin/env bash
# benthos v4.80.0, the engine of Redpanda Connect.
#
# Bloblang's parse_json() reads the first JSON value of a text and ignores the rest without an error: further documents,
# and even text that is no JSON. For the same content, `this` is an error. Seen:
#
#   {"id":1}<newline>{"id":2}: parse_json() is {"id":1}, this is an error
#   0012: parse_json() is 0, this is an error
#   12 rue du Port: parse_json() is 12, this is an error
#   null and void: parse_json() is null, this is an error
#
# The reference of parse_json() does not mention it. For users: lines of JSON that arrive in one message lose all but
# the first with parse_json(). Refer to the content with `this`, or split it with the processor `unarchive`.
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
    count: 4
    interval: ""
    mapping: |
      root = ["{\"id\":1}\n{\"id\":2}", "0012", "12 rue du Port", "null and void"].index(count("message") - 1)
pipeline:
  threads: 1
  processors:
    - mapping: |
        let text = content().string().replace_all("\n", "<newline>")
        let parsed = content().parse_json().format_json(no_indent: true)
        let this_is = this.format_json(no_indent: true).catch("an error")
        root = "%s: parse_json() is %s, this is %s".format($text, $parsed, $this_is)
output:
  file: { path: parsed, codec: lines }
http: { enabled: false }
END
timeout 60 ./benthos run config.yaml

expected='{"id":1}<newline>{"id":2}: parse_json() is {"id":1}, this is an error
0012: parse_json() is 0, this is an error
12 rue du Port: parse_json() is 12, this is an error
null and void: parse_json() is null, this is an error'
seen=$(<parsed)

echo "$seen"
if [[ $seen != "$expected" ]]; then
	echo "The behaviour has changed. Expected: $expected" >&2
	exit 1
fi
