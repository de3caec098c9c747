package streamtest

import (
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests of a package. It fails if goroutines are left, except those that
// run one of the ignored functions.
func Main(m *testing.M, ignored ...string) {
	options := []goleak.Option{
		// A goroutine of the engine's metrics never ends.
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
		// The engine does not close the output of a pipeline whose input cannot be built.
		goleak.IgnoreAnyFunction("github.com/redpanda-data/benthos/v4/internal/stream.(*Type).init.func1"),
	}
	for _, function := range ignored {
		options = append(options, goleak.IgnoreAnyFunction(function))
	}
	goleak.VerifyTestMain(m, options...)
}
