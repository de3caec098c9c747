package main

import (
	"context"
	_ "embed" // the program for Node
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const groupClients = "clients"

//go:embed ws.js
var wsProgram string

// clientFigures are those that need programs and packages which are not part of this
// module.
func clientFigures(o *options) []figure {
	if o.js == "" {
		return nil
	}
	return []figure{{
		group: groupClients, name: "processor (batches of 500) on 8 connections against ws in Node with 64 in flight on one",
		unit: perSecond("calls"), goal: atLeast(1.1), ours: fed(processorOn8YAML, 500, "0ms"), reference: node(o.js),
	}}
}

const processorOn8YAML = `
input: { feed: {} }
pipeline:
  processors:
    - zato_wsx: { connection: { address: %s, max_connections: 8 }, service: bench, max_in_flight: 8 }
output: { drop: {} }
`

// node runs the program in a directory in whose node_modules the package is.
func node(dir string) opener {
	return func(_ context.Context, s *server) (meter, func(), error) {
		return func(ctx context.Context, about time.Duration) (float64, error) {
			ms := strconv.FormatInt(about.Milliseconds(), 10)
			//nolint:gosec // the program is ours, the directory the user's
			cmd := exec.CommandContext(ctx, "node", "-", s.url("/zato/0s"), ms)
			cmd.Dir, cmd.Stdin, cmd.Stderr = dir, strings.NewReader(wsProgram), os.Stderr
			out, err := cmd.Output()
			if err != nil {
				return 0, err
			}
			return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		}, func() {}, nil
	}
}
