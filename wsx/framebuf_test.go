package wsx_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/race"
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
		memory := make([]byte, slices.Max(sizes))
		for i := 0; ; i++ {
			frame := memory[:sizes[i%len(sizes)]]
			for at := range frame {
				frame[at] = 'a' + byte(i%26)
			}
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

func TestConnectionKeepsNoMemoryForLargeFrames(t *testing.T) {
	bothWays(t, func(t *testing.T, buffer *wsx.FrameBuffer, read func(*websocket.Conn)) {
		t.Helper()
		conn := framesOf(t, 4<<20, 1000, 100_000, 1)
		for range 8 {
			read(conn)
			assert.LessOrEqual(t, buffer.Size(), 64<<10)
		}
	})
}

// allocated returns how many bytes are allocated while something is done.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestLargeFrameIsReadWithoutMuchMemory(t *testing.T) {
	if race.Enabled {
		t.Skip("with the race detector pools forget")
	}
	for name, sizes := range map[string][]int{
		"large ones":       {1 << 20},
		"and small ones":   {1 << 20, 1000, 1000, 1000},
		"of several sizes": {1 << 20, 100_000, 500_000},
		"and one byte":     {1 << 20, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, _ *wsx.FrameBuffer, read func(*websocket.Conn)) {
				t.Helper()
				conn := framesOf(t, sizes...)
				round := func() {
					for range sizes {
						read(conn)
					}
				}
				round()
				round()
				const rounds = 20
				took := allocated(func() {
					for range rounds {
						round()
					}
				}) / rounds
				t.Logf("%d bytes", took)
				if strings.HasSuffix(t.Name(), "own") {
					assert.Less(t, took, uint64(3<<20))
				} else {
					assert.Less(t, took, uint64(1<<20))
				}
			})
		})
	}
}
