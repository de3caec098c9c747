package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/pprof/profile"
)

// flame is a function and what it calls, of a flame graph.
type flame struct {
	function string
	// takes is the time in it and in what it calls, in nanoseconds.
	takes int64
	calls map[string]*flame
}

// flameOf adds up what takes the time of one side.
func flameOf(p *profile.Profile, side string) (*flame, error) {
	root := &flame{calls: map[string]*flame{}}
	for _, s := range p.Sample {
		if s.HasLabel("side", side) {
			root.add(stackOf(s), s.Value[len(s.Value)-1]) // the time is the last value
		}
	}
	if root.takes == 0 {
		return nil, errors.New("the profile is too short for a flame graph")
	}
	root.function = fmt.Sprintf("%.1f s of processor time", float64(root.takes)/1e9)
	return root, nil
}

// stackOf are the functions of a sample, from the first that was called.
func stackOf(s *profile.Sample) []string {
	var stack []string
	for _, location := range slices.Backward(s.Location) {
		for _, line := range slices.Backward(location.Line) { // more than one where calls are inlined
			stack = append(stack, line.Function.Name)
		}
	}
	return stack
}

func (f *flame) add(stack []string, takes int64) {
	f.takes += takes
	if len(stack) == 0 {
		return
	}
	called, known := f.calls[stack[0]]
	if !known {
		called = &flame{function: stack[0], calls: map[string]*flame{}}
		f.calls[stack[0]] = called
	}
	called.add(stack[1:], takes)
}
