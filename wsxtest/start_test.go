package wsxtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// lab is a server on an in-memory network.
type lab struct {
	*wsxtest.Server

	network *wsxtest.Network
}

// startLab starts a server like the recorded one.
func startLab(t *testing.T, opts ...wsxtest.Option) *lab {
	t.Helper()
	l := &lab{network: wsxtest.NewNetwork()}
	all := append([]wsxtest.Option{wsxtest.WithNetwork(l.network), wsxtest.WithTranscriptServer()}, opts...)
	l.Server = wsxtest.NewServer(all...)
	require.NoError(t, l.Start())
	t.Cleanup(l.Close)
	return l
}

// patched is the path of the gateway that can do everything.
const patched = "/my.wsx.cid"

func (l *lab) dial(t *testing.T, path string) *peer {
	t.Helper()
	return dial(t, l.Server, path, l.network)
}

func (l *lab) login(t *testing.T) *peer {
	t.Helper()
	return l.dial(t, patched).logIn(t, nil)
}
