// Package chaos breaks everything between a publisher and a pipeline, and counts.
package chaos_test

import (
	"flag"
	"testing"

	"github.com/rs/zerolog"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

func TestMain(m *testing.M) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // of the network that is broken
	// Worlds wait more than they work.
	_ = flag.Set("test.parallel", "12") // a flag of every test
	streamtest.Main(m,                  // what toxiproxy leaves behind where a connection ends in a toxic
		"github.com/Shopify/toxiproxy/v2.(*ToxicLink).read",
		"github.com/Shopify/toxiproxy/v2.(*ToxicLink).write",
		"github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run",
	)
}
