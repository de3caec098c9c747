package streamtest

import (
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests of a package and fails where goroutines are left, but for
// those of functions that are named.
func Main(m *testing.M, ignored ...string) {
	options := []goleak.Option{
		// The engine's metrics have a goroutine for the life of the process.
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
		// The engine does not close the output of a pipeline whose input cannot be built.
		goleak.IgnoreAnyFunction("github.com/redpanda-data/benthos/v4/internal/stream.(*Type).init.func1"),
	}
	for _, function := range ignored {
		options = append(options, goleak.IgnoreAnyFunction(function))
	}
	goleak.VerifyTestMain(m, options...)
}
