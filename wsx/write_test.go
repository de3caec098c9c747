package wsx_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// countingConn counts the writes to a connection.
type countingConn struct {
	net.Conn

	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

func TestEachFrameIsWrittenWithOneWrite(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		var writes atomic.Int64
		c := s.connect(patchedPath, func(cfg *wsx.Config) {
			dial := cfg.Dial
			cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := dial(ctx, network, addr)
				return countingConn{conn, &writes}, err
			}
		})
		for size := range 600 { // around the size of the write buffer
			size += 3500
			before := writes.Load()
			_, err := c.Invoke(t.Context(), "my.echo", strings.Repeat("x", size))
			require.NoError(t, err)
			require.Equal(t, before+1, writes.Load(), size)
		}
		before := writes.Load()
		_, err := c.Invoke(t.Context(), "my.echo", strings.Repeat("x", 60_000))
		require.NoError(t, err)
		assert.Equal(t, before+1, writes.Load())
	})
}
