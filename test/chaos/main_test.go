// Package chaos_test injects faults between a publisher and a pipeline and counts the
// messages that are lost or duplicated.
package chaos_test

import (
	"flag"
	"testing"

	"github.com/rs/zerolog"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

func TestMain(m *testing.M) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy logs every connection
	// The tests wait more than they compute. Every test binary has this flag.
	_ = flag.Set("test.parallel", "12")
	streamtest.Main(m, // toxiproxy leaks these goroutines if a connection ends in a toxic
		"github.com/Shopify/toxiproxy/v2.(*ToxicLink).read",
		"github.com/Shopify/toxiproxy/v2.(*ToxicLink).write",
		"github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run",
	)
}
