package wsxtest_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

func TestServerListensOnTCPByDefault(t *testing.T) {
	srv := wsxtest.NewServer()
	require.NoError(t, srv.Start())
	t.Cleanup(srv.Close)
	url := srv.URL("/zato.wsx.gateway")
	require.True(t, strings.HasPrefix(url, "ws://127.0.0.1:"), url)
	p := dial(t, srv, "/zato.wsx.gateway", nil).logIn(t, nil)
	assert.JSONEq(t, `{"pong":"zato"}`, result(t, p.invoke(t, "zato.ping", nil)))

	resp, err := http.Get("http://" + srv.Addr() + "/no/such")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusNotFound, resp.StatusCode)
	http.DefaultClient.CloseIdleConnections()

	address := srv.Addr()
	srv.Stop()
	assert.Equal(t, transcript.EOF, p.next(t).kind)
	require.NoError(t, srv.Restart())
	assert.Equal(t, address, srv.Addr())
	taken := wsxtest.NewServer(wsxtest.WithAddress(address))
	require.ErrorContains(t, taken.Start(), "address already in use")
}

func TestServerSpeaksTLS(t *testing.T) {
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	defer certificate.Close()
	srv := wsxtest.NewServer(wsxtest.WithTLS(&tls.Config{Certificates: certificate.TLS.Certificates}))
	require.NoError(t, srv.Start())
	t.Cleanup(srv.Close)
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	ws := upgrade(t, dialer, srv.URL("/zato.wsx.gateway"))
	p := &peer{events: make(chan event, 100)}
	p.listen(t, ws)
	p.logIn(t, nil)
	p.invoke(t, "zato.ping", nil)
	srv.Cut()
	assert.Equal(t, transcript.EOF, p.next(t).kind)
}

func TestRequestWithoutAnUpgradeIsABadRequest(t *testing.T) {
	srv := wsxtest.NewServer()
	require.NoError(t, srv.Start())
	t.Cleanup(srv.Close)
	resp, err := http.Get("http://" + srv.Addr() + "/zato.wsx.gateway")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
	http.DefaultClient.CloseIdleConnections()
}

// pair returns the two ends of an in-memory connection.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	n := wsxtest.NewNetwork()
	l, err := n.Listen("host:1")
	require.NoError(t, err)
	_, err = n.Listen("host:2")
	require.ErrorContains(t, err, "in use")
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		assert.NoError(t, err)
		accepted <- conn
	}()
	client, err = n.Dial(t.Context(), "tcp", "host:3")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	return client, <-accepted
}

func TestMemoryConnectionsHaveABoundedBufferAndDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t)
		assert.Equal(t, client.LocalAddr(), server.RemoteAddr())
		assert.Equal(t, "host", server.LocalAddr().String())
		assert.Equal(t, "memory", server.LocalAddr().Network())
		_, err := client.Write([]byte("hello")) // buffered
		require.NoError(t, err)
		b := make([]byte, 10)
		n, err := server.Read(b)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(b[:n]))

		require.NoError(t, client.SetDeadline(time.Now().Add(time.Second)))
		n, err = client.Write(make([]byte, 1<<20))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, 64<<10, n)
		_, err = client.Write([]byte("x"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		_, err = client.Read(b)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, client.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = client.Read(b)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, client.SetWriteDeadline(time.Time{}))

		require.NoError(t, client.Close())
		rest, err := io.ReadAll(server)
		require.NoError(t, err)
		assert.Len(t, rest, 64<<10)
		_, err = server.Write([]byte("x"))
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
}

func TestDialIsRefusedWithoutAListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := wsxtest.NewNetwork()
		_, err := n.Dial(t.Context(), "tcp", "host:1")
		require.ErrorContains(t, err, "connection refused")

		l, err := n.Listen("host") // does not accept connections
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = n.Dial(ctx, "tcp", "host:1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.AfterFunc(time.Second, func() { assert.NoError(t, l.Close()) })
		_, err = n.Dial(t.Context(), "tcp", "host:1")
		require.ErrorContains(t, err, "connection refused")
	})
}

func TestServersShareANetworkUnderDifferentNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := wsxtest.NewNetwork()
		for _, host := range []string{"one", "two"} {
			srv := wsxtest.NewServer(wsxtest.WithNetwork(n), wsxtest.WithAddress(host))
			require.NoError(t, srv.Start())
			defer srv.Close()
			assert.Equal(t, "ws://"+host+"/x", srv.URL("/x"))
			dial(t, srv, "/zato.wsx.gateway", n).logIn(t, nil)
			assert.Equal(t, 1, srv.SessionsOpened())
		}
	})
}
