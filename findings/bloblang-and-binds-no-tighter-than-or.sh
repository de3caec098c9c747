#!/usr/bin/env bash
# benthos v4.80.0, the engine of Redpanda Connect.
#
# In Bloblang, && and || have the same precedence and are evaluated from left to right. In Go, C, Python, JavaScript and
# SQL, the conjunction binds tighter. Arithmetic and comparisons have the usual precedence. Seen:
#
#   true || false && false    is false
#   true || (false && false)  is true
#   2 + 3 * 4 == 14           is true
#
# The guide to Bloblang's arithmetic names no precedence. For users: a condition such as
# `this.urgent || this.size > 10 && this.retry` lets an urgent message through only if it is a retry. Use brackets.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

export GOFLAGS=-mod=mod
go mod init finding
go get github.com/redpanda-data/benthos/v4/cmd/benthos@v4.80.0
go build -o benthos github.com/redpanda-data/benthos/v4/cmd/benthos

cat >mapping.blobl <<'END'
root = """true || false && false    is %v
true || (false && false)  is %v
2 + 3 * 4 == 14           is %v""".format(true || false && false, true || (false && false), 2 + 3 * 4 == 14)
END

expected='true || false && false    is false
true || (false && false)  is true
2 + 3 * 4 == 14           is true'
seen=$(echo '{}' | timeout 60 ./benthos blobl -f mapping.blobl)

echo "$seen"
if [[ $seen != "$expected" ]]; then
	echo "The behaviour has changed. Expected: $expected" >&2
	exit 1
fi
