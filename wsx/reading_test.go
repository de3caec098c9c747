package wsx_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// framesOf is a connection over which frames of some sizes come, again and again.
func framesOf(t *testing.T, sizes ...int) *websocket.Conn {
	t.Helper()
	var upgrader websocket.Upgrader
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // the client says so
		}
		defer conn.Close() //nolint:errcheck // it is the client that ends it
		for i := 0; ; i++ {
			frame := bytes.Repeat([]byte{'a' + byte(i%26)}, sizes[i%len(sizes)])
			if conn.WriteMessage(websocket.TextMessage, frame) != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), strings.Replace(server.URL, "http", "ws", 1), nil)
	require.NoError(t, err)
	defer resp.Body.Close() //nolint:errcheck // it is empty
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

func TestFramesAreKeptBesideEachOther(t *testing.T) {
	conn := framesOf(t, 100, 100_000, 0, 1)
	var buffer wsx.FrameBuffer
	var frames [][]byte
	for range 8 {
		frame, err := buffer.ReadOwn(conn)
		require.NoError(t, err)
		frames = append(frames, frame)
	}
	for i, size := range []int{100, 100_000, 0, 1, 100, 100_000, 0, 1} {
		assert.Equal(t, strings.Repeat(string(rune('a'+i)), size), string(frames[i]))
		assert.LessOrEqual(t, cap(frames[i]), size+size/4+8, "what is appended to a frame is not written to another")
	}
}

// bothWays runs a test with each way to read a frame.
func bothWays(t *testing.T, test func(*testing.T, *wsx.FrameBuffer, func(*websocket.Conn))) {
	t.Helper()
	for name, way := range map[string]func(*wsx.FrameBuffer, *websocket.Conn) ([]byte, error){
		"own": (*wsx.FrameBuffer).ReadOwn, "used again": (*wsx.FrameBuffer).Read,
	} {
		t.Run(name, func(t *testing.T) {
			var buffer wsx.FrameBuffer
			test(t, &buffer, func(conn *websocket.Conn) {
				_, err := way(&buffer, conn)
				require.NoError(t, err)
			})
		})
	}
}

func TestBufferOfAGiantFrameIsGivenUp(t *testing.T) {
	bothWays(t, func(t *testing.T, buffer *wsx.FrameBuffer, read func(*websocket.Conn)) {
		t.Helper()
		sizes := []int{4 << 20}
		for range 30 {
			sizes = append(sizes, 1000)
		}
		conn := framesOf(t, sizes...)
		read(conn)
		assert.GreaterOrEqual(t, buffer.Size(), 4<<20)
		for range 20 {
			read(conn)
		}
		assert.Less(t, buffer.Size(), 64<<10)
	})
}

func TestBufferOfLargeFramesIsKeptInTheMidstOfSmallOnes(t *testing.T) {
	bothWays(t, func(t *testing.T, buffer *wsx.FrameBuffer, read func(*websocket.Conn)) {
		t.Helper()
		conn := framesOf(t, 1<<20, 1000, 1000, 1000)
		for range 8 {
			read(conn)
		}
		for range 40 {
			read(conn)
			require.GreaterOrEqual(t, buffer.Size(), 1<<20)
		}
	})
}

func TestLargeFrameIsReadWithFewAllocations(t *testing.T) {
	bothWays(t, func(t *testing.T, _ *wsx.FrameBuffer, read func(*websocket.Conn)) {
		t.Helper()
		conn := framesOf(t, 1<<20)
		read(conn)
		// The server allocates too: its frames, one each.
		assert.LessOrEqual(t, testing.AllocsPerRun(20, func() { read(conn) }), 6.0)
	})
}
