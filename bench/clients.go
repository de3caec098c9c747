package main

import _ "embed" // the programs

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
	call := latency(0.5, oneClient(near("0ms")))
	us := unit{"us", 1000}
	return []figure{
		{
			group: groupClients, name: "processor (batches of 500) on 8 connections against ws in Node with 64 in flight on one",
			unit: perSecond("calls"), goal: atLeast(1.1), ours: fed(processorOn8YAML, 500, "0ms"),
			reference: node(o, "require('ws')", wsProgram),
		},
		{
			group: groupClients, name: "p50 of an invoke against the official JavaScript client",
			unit: us, goal: atMost(0.001), ours: call,
			reference: node(o, "require('zato-js-client')", zatoJSProgram),
		},
		{
			group: groupClients, name: "p50 of an invoke against the official Python client",
			unit: us, goal: atMost(0.01), ours: call,
			reference: python(o, "import zato.websocket.client", zatoPythonProgram),
		},
	}
}

const processorOn8YAML = `
input: { feed: {} }
pipeline:
  processors:
    - zato_wsx: { connection: { address: %s, max_connections: 8 }, service: bench, max_in_flight: 8 }
output: { drop: {} }
`
