// Package proxies_test runs the configurations of docs/proxies.md: a client connects to
// the test server through nginx, HAProxy, Apache httpd and Caddy. A test is skipped if its
// proxy is not installed.
package proxies_test

import (
	"flag"
	"testing"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
)

func TestMain(m *testing.M) {
	// The tests wait more than they compute. Every test binary has this flag.
	_ = flag.Set("test.parallel", "30")
	streamtest.Main(m)
}
