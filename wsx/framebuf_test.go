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

// dialFrames returns a connection to a server that sends frames of the given sizes,
// repeatedly. The bytes of the first frame are a, those of the second b, and so on.
func dialFrames(t *testing.T, sizes ...int) *websocket.Conn {
	t.Helper()
	var upgrader websocket.Upgrader
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // the dialer fails
		}
		defer conn.Close() //nolint:errcheck // the client closes it first
		memory := make([]byte, slices.Max(sizes))
		for i := 0; ; i++ {
			frame := memory[:sizes[i%len(sizes)]]
			for j := range frame {
				frame[j] = 'a' + byte(i%26)
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

func TestDetachedFramesDoNotShareMemory(t *testing.T) {
	conn := dialFrames(t, 100, 100_000, 0, 1)
	var buffer wsx.FrameBuffer
	var frames [][]byte
	for range 8 {
		frame, err := buffer.ReadDetached(conn)
		require.NoError(t, err)
		frames = append(frames, frame)
	}
	for i, size := range []int{100, 100_000, 0, 1, 100, 100_000, 0, 1} {
		assert.Equal(t, strings.Repeat(string(rune('a'+i)), size), string(frames[i]))
		assert.LessOrEqual(t, cap(frames[i]), size+size/4+8, "appending to a frame does not change another one")
	}
}

// withEachRead runs a test with each method that reads a frame.
func withEachRead(t *testing.T, test func(*testing.T, *wsx.FrameBuffer, func(*websocket.Conn))) {
	t.Helper()
	for name, method := range map[string]func(*wsx.FrameBuffer, *websocket.Conn) ([]byte, error){
		"detached": (*wsx.FrameBuffer).ReadDetached, "reused": (*wsx.FrameBuffer).Read,
	} {
		t.Run(name, func(t *testing.T) {
			var buffer wsx.FrameBuffer
			test(t, &buffer, func(conn *websocket.Conn) {
				_, err := method(&buffer, conn)
				require.NoError(t, err)
			})
		})
	}
}

func TestFrameBufferKeepsNoMemoryOfLargeFrames(t *testing.T) {
	withEachRead(t, func(t *testing.T, buffer *wsx.FrameBuffer, read func(*websocket.Conn)) {
		t.Helper()
		conn := dialFrames(t, 4<<20, 1000, 100_000, 1)
		for range 8 {
			read(conn)
			assert.LessOrEqual(t, buffer.Size(), 64<<10)
		}
	})
}

// allocated returns how many bytes are allocated while f runs.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestReadingLargeFramesAllocatesLittle(t *testing.T) {
	if race.Enabled {
		t.Skip("a sync.Pool drops values under the race detector")
	}
	for name, sizes := range map[string][]int{
		"large":              {1 << 20},
		"large and small":    {1 << 20, 1000, 1000, 1000},
		"several sizes":      {1 << 20, 100_000, 500_000},
		"large and one byte": {1 << 20, 1},
	} {
		t.Run(name, func(t *testing.T) {
			withEachRead(t, func(t *testing.T, _ *wsx.FrameBuffer, read func(*websocket.Conn)) {
				t.Helper()
				conn := dialFrames(t, sizes...)
				round := func() {
					for range sizes {
						read(conn)
					}
				}
				round()
				round()
				const rounds = 20
				perRound := allocated(func() {
					for range rounds {
						round()
					}
				}) / rounds
				t.Logf("%d bytes a round", perRound)
				if strings.HasSuffix(t.Name(), "detached") {
					assert.Less(t, perRound, uint64(3<<20))
				} else {
					assert.Less(t, perRound, uint64(1<<20))
				}
			})
		})
	}
}
