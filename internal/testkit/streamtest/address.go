package streamtest

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/portlock"
)

// FreeAddress returns a loopback address without a listener. Its port stays reserved
// until the test ends.
func FreeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	release, err := portlock.Reserve(l)
	require.NoError(t, err)
	t.Cleanup(release)
	require.NoError(t, l.Close())
	return l.Addr().String()
}
