package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/pprof/profile"
)

// A flameNode is a function in a flame graph, with the functions that it calls.
type flameNode struct {
	function string
	// nanoseconds is the time in the function and its callees.
	nanoseconds int64
	callees     map[string]*flameNode
}

// newFlameGraph adds up the samples of one side. It fails if the profile has none.
func newFlameGraph(p *profile.Profile, side string) (*flameNode, error) {
	root := &flameNode{callees: map[string]*flameNode{}}
	for _, s := range p.Sample {
		if s.HasLabel("side", side) {
			root.add(functionStack(s), s.Value[len(s.Value)-1]) // the time is the last value
		}
	}
	if root.nanoseconds == 0 {
		return nil, errors.New("no samples for a flame graph: measure longer, with -rounds or -round")
	}
	root.function = fmt.Sprintf("%.1f s of CPU time", float64(root.nanoseconds)/1e9)
	return root, nil
}

// functionStack returns the functions of a sample, the outermost first.
func functionStack(s *profile.Sample) []string {
	var stack []string
	for _, location := range slices.Backward(s.Location) {
		for _, line := range slices.Backward(location.Line) { // inlined calls share a location
			stack = append(stack, line.Function.Name)
		}
	}
	return stack
}

func (n *flameNode) add(stack []string, nanoseconds int64) {
	n.nanoseconds += nanoseconds
	if len(stack) == 0 {
		return
	}
	callee, known := n.callees[stack[0]]
	if !known {
		callee = &flameNode{function: stack[0], callees: map[string]*flameNode{}}
		n.callees[stack[0]] = callee
	}
	callee.add(stack[1:], nanoseconds)
}
