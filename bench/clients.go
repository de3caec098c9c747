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

// bareNode is the package ws in Node, without a client.
func bareNode(o *options) *script {
	return &script{"ws in Node", o.js, "js", "node", "require('ws')", wsProgram}
}

// officialJavaScript and officialPython are Zato's own clients. They print the latencies of
// calls, in nanoseconds. Their arguments are the username, the secret, the service and the
// request.
func officialJavaScript(o *options) *script {
	return &script{
		"the official JavaScript client", o.js, "js", "node", "require('zato-js-client')", zatoJSProgram,
	}
}

func officialPython(o *options) *script {
	return &script{
		"the official Python client", o.python, "python", "bin/python", "import zato.websocket.client",
		zatoPythonProgram,
	}
}

// clientFigures returns the figures that compare with clients in other languages. These
// clients are not part of the module.
func clientFigures(o *options) []figure {
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
			reference: bareNode(o).opener(),
		})
	}
	for _, c := range []struct {
		client *script
		goal   float64
	}{{officialJavaScript(o), 0.001}, {officialPython(o), 0.01}} {
		out = append(out, figure{
			group: groupClients, name: "p50 of a call against " + c.client.name, unit: unit{"us", 1000},
			goal: atMost(c.goal), ours: latencyQuantile(0.5, singleClient(localAddress("0ms"))),
			reference: c.client.opener("", "", "bench", requestData),
		})
	}
	return out
}
