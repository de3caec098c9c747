package main

import (
	_ "embed" // for the programs
	"fmt"
)

const groupClients = "clients"

var (
	//go:embed ws.js
	wsProgram string
	//go:embed zato.js
	zatoJSProgram string
	//go:embed zato.py
	zatoPythonProgram string
)

// clientFigures returns the figures that compare with clients in other languages. These
// clients are not part of the module.
func clientFigures(o *options) []figure {
	latency := latencyQuantile(0.5, singleClient(localAddress("0ms")))
	us := unit{"us", 1000}
	var out []figure
	for _, c := range []struct {
		callsPerConnection int
		goal               goal
	}{{1, goal{}}, {8, atLeast(1.1)}} {
		out = append(out, figure{
			group: groupClients, unit: thousandsPerSecond("calls"), goal: c.goal,
			name: fmt.Sprintf("processor (batches of 500) with %d calls in flight on 8 connections "+
				"against ws in Node with 64 on one", 8*c.callsPerConnection),
			ours:      pipelineRate(processorYAML(8, c.callsPerConnection), 500, "0ms"),
			reference: node(o, "require('ws')", wsProgram),
		})
	}
	return append(
		out,
		figure{
			group: groupClients, name: "p50 of a call against the official JavaScript client",
			unit: us, goal: atMost(0.001), ours: latency,
			reference: node(o, "require('zato-js-client')", zatoJSProgram),
		},
		figure{
			group: groupClients, name: "p50 of a call against the official Python client",
			unit: us, goal: atMost(0.01), ours: latency,
			reference: python(o, "import zato.websocket.client", zatoPythonProgram),
		},
	)
}
