#!/usr/bin/env bash
# benthos v4.80.0, the engine of Redpanda Connect.
#
# In Bloblang, == compares two integers exactly. But the literal cases of `match`, contains(), find(), unique(), and ==
# between objects or arrays compare integers as floating-point numbers. Above 2^53, they take neighbours for equal.
#
# Here `a` is 1780921717355446273 and `b` is 1780921717355446272. Seen:
#
#   this.a == this.b is false
#   match this.a { 1780921717355446272 => true, _ => false } is true
#   [this.b].contains(this.a) is true
#   [this.b, this.a].find(this.a) is 0
#   {"id": this.a} == {"id": this.b} is true
#   [this.a, this.b].unique() is [1780921717355446273]
#   [this.a, this.b].unique(x -> x.string()) is [1780921717355446273,1780921717355446272]
#
# The reference does not mention it, and its page on arithmetic says that numbers can be integers of 64 bits. For users:
# a document whose id is as large as that can be routed to the wrong case, dropped as a duplicate, or taken for
# unchanged. Convert such ids with string() before you compare them.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

export GOFLAGS=-mod=mod
go mod init finding
go get github.com/redpanda-data/benthos/v4/cmd/benthos@v4.80.0
go build -o benthos github.com/redpanda-data/benthos/v4/cmd/benthos

expected='this.a == this.b is false
match this.a { 1780921717355446272 => true, _ => false } is true
[this.b].contains(this.a) is true
[this.b, this.a].find(this.a) is 0
{"id": this.a} == {"id": this.b} is true
[this.a, this.b].unique() is [1780921717355446273]
[this.a, this.b].unique(x -> x.string()) is [1780921717355446273,1780921717355446272]'
seen=$(sed 's/ is [^ ]*$//' <<<"$expected" | while read -r expression; do
	result=$(echo '{"a":1780921717355446273,"b":1780921717355446272}' |
		timeout 60 ./benthos blobl "root = ($expression).format_json(no_indent: true).string()")
	echo "$expression is $result"
done)

echo "$seen"
if [[ $seen != "$expected" ]]; then
	echo "The behaviour has changed. Expected: $expected" >&2
	exit 1
fi
