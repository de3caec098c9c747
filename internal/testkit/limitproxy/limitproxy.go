// Package limitproxy provides a WebSocket proxy for tests that has a limit for the size of
// frames.
package limitproxy

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/websocket"
)

// Start starts a proxy in front of a server, which is a host and a port. If a client sends a
// frame that is larger than largest, the proxy closes the connection with the code 1009, and
// the server gets nothing of the frame. Start returns the address of the proxy. It is closed when
// the test ends.
func Start(t *testing.T, server string, largest int64) (address string) {
	t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		upgrader := websocket.Upgrader{}
		client, err := upgrader.Upgrade(w, req, nil)
		if err != nil {
			return // it has answered
		}
		defer client.Close() //nolint:errcheck // the other side may have closed it
		client.SetReadLimit(largest)
		conn, resp, err := websocket.DefaultDialer.DialContext(req.Context(), "ws://"+server+req.URL.Path, nil)
		if err != nil {
			return // the client sees a lost connection
		}
		_ = resp.Body.Close() // it is empty
		go func() {
			defer closeWrite(client.NetConn())
			copyFrames(client, conn)
		}()
		copyFrames(conn, client)
		_ = conn.Close() // the other side may have closed it
		closeWrite(client.NetConn())
		// To close it with unread bytes would reset it, and the client might not get the close frame.
		_, _ = io.Copy(io.Discard, client.NetConn())
	}))
	t.Cleanup(proxy.Close)
	return proxy.Listener.Addr().String()
}

func closeWrite(conn net.Conn) {
	if tcp, is := conn.(*net.TCPConn); is {
		_ = tcp.CloseWrite() // the other side may have closed it
	}
}

func copyFrames(to, from *websocket.Conn) {
	for {
		kind, data, err := from.ReadMessage()
		if err != nil || to.WriteMessage(kind, data) != nil {
			return
		}
	}
}
