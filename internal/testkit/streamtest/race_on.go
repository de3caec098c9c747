//go:build race

package streamtest

// Race tells that the race detector runs, which makes timings worthless.
const Race = true
