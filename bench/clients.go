package main

import (
	_ "embed" // the programs
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

// clientFigures are those that need clients which are not part of this module.
func clientFigures(o *options) []figure {
	call := latency(0.5, oneClient(local("0ms")))
	us := unit{"us", 1000}
	var out []figure
	for _, c := range []struct {
		window int
		goal   goal
	}{{1, goal{}}, {8, atLeast(1.1)}} {
		out = append(out, figure{
			group: groupClients, unit: perSecond("calls"), goal: c.goal,
			name: fmt.Sprintf("processor (batches of 500) with %d in flight on 8 connections "+
				"against ws in Node with 64 on one", 8*c.window),
			ours: fed(processorYAML(8, c.window), 500, "0ms"), reference: node(o, "require('ws')", wsProgram),
		})
	}
	return append(
		out,
		figure{
			group: groupClients, name: "p50 of an invoke against the official JavaScript client",
			unit: us, goal: atMost(0.001), ours: call,
			reference: node(o, "require('zato-js-client')", zatoJSProgram),
		},
		figure{
			group: groupClients, name: "p50 of an invoke against the official Python client",
			unit: us, goal: atMost(0.01), ours: call,
			reference: python(o, "import zato.websocket.client", zatoPythonProgram),
		},
	)
}
