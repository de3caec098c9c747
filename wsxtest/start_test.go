package wsxtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// testServer is a server on an in-memory network.
type testServer struct {
	*wsxtest.Server

	network *wsxtest.Network
}

// startServer starts a server with the channels, topics and services of the recorded
// one.
func startServer(t *testing.T, opts ...wsxtest.Option) *testServer {
	t.Helper()
	s := &testServer{network: wsxtest.NewNetwork()}
	all := append([]wsxtest.Option{wsxtest.WithNetwork(s.network), wsxtest.WithTranscriptServer()}, opts...)
	s.Server = wsxtest.NewServer(all...)
	require.NoError(t, s.Start())
	t.Cleanup(s.Close)
	return s
}

// patched is the path of the channel with a patched gateway.
const patched = "/my.wsx.cid"

func (s *testServer) dial(t *testing.T, path string) *peer {
	t.Helper()
	return dial(t, s.Server, path, s.network)
}

func (s *testServer) login(t *testing.T) *peer {
	t.Helper()
	return s.dial(t, patched).logIn(t, nil)
}
