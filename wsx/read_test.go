package wsx_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// messagesFrame returns a frame of n messages. Their data are the numbers from first on,
// each followed by a space and padding bytes.
func messagesFrame(first, n, padding int) []byte {
	var messages []string
	for i := first; i < first+n; i++ {
		messages = append(messages, fmt.Sprintf(`{"msg_id": "m%d", "data": "%d %s"}`, i, i, strings.Repeat("x", padding)))
	}
	return fmt.Appendf(nil, `{"meta": {"msg_type": "zwsx.psrq", "id": "f"}, "data": [%s]}`, strings.Join(messages, ", "))
}

func TestLargeFramesKeepTheirOrder(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connectAndSubscribe(func(cfg *wsx.Config) { cfg.PrefetchCount = 100 })
		const frames = 30
		var expected []string
		total := 0
		for i := range frames {
			n, padding := []int{500, 1, 100, 2}[i%4], []int{1000, 10, 1000, 100_000}[i%4]
			s.SendRaw(messagesFrame(total, n, padding))
			for range n {
				expected = append(expected, strconv.Itoa(total))
				total++
			}
		}
		got := s.receiveTexts(c, total)
		for i := range got {
			got[i], _, _ = strings.Cut(got[i], " ")
		}
		assert.Equal(t, expected, got)
	})
}

func TestFramesAfterAnInvalidLargeFrameAreReceived(t *testing.T) {
	for name, invalidate := range map[string]func([]byte) []byte{
		"half":      func(raw []byte) []byte { return raw[:len(raw)/2] },
		"two types": func(raw []byte) []byte { return append(raw[:len(raw)-1], `, "meta": {"msg_type": "zwsx.rspok"}}`...) },
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(s *testServer) {
				t := s.t
				c := s.connect(patchedPath, func(cfg *wsx.Config) { cfg.PrefetchCount = 3 })
				_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
				require.NoError(t, err)
				s.SendRaw(messagesFrame(0, 1, 100), invalidate(messagesFrame(1, 100, 1000)), messagesFrame(101, 1, 0))
				for _, expected := range []string{"0 ", "101 "} {
					assert.True(t, strings.HasPrefix(s.receiveTexts(c, 1)[0], expected))
				}
				require.NoError(t, c.AwaitReady(t.Context()))
				synctest.Wait()
				assert.Equal(t, 2, s.SessionsOpened())
				assert.Contains(t, s.log.String(), "decoding a frame")
			})
		})
	}
}

func TestFramesAfterAnInvalidFrameAreReceived(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		s.SendRaw([]byte(`{"meta": invalid`),
			[]byte(`{"meta": {"msg_type": "zwsx.psrq", "id": "m"}, "data": {"msg_id": "m", "data": "after"}}`))
		assert.Equal(t, []string{"after"}, s.receiveTexts(c, 1))
		require.NoError(t, c.AwaitReady(t.Context()))
		assert.Equal(t, 2, s.SessionsOpened())
		assert.Contains(t, s.log.String(), "decoding a frame")
	})
}

func TestInvalidFrameEndsTheSession(t *testing.T) {
	for name, send := range map[string]func(*testServer){
		"not JSON":         func(s *testServer) { s.SendRaw([]byte("{oops")) },
		"no message type":  func(s *testServer) { s.SendRaw([]byte(`{"meta": {}}`)) },
		"invalid messages": func(s *testServer) { s.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.psrq"}, "data": [1]}`)) },
		"invalid message":  func(s *testServer) { s.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.psrq"}, "data": 1}`)) },
		"invalid token":    func(s *testServer) { s.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.rspa"}, "data": {}}`)) },
		"unfinished frame": func(s *testServer) { s.SendPartialFrame() },
		"frame too large":  func(s *testServer) { s.SendRaw([]byte(`{"x": "` + strings.Repeat("x", 2000) + `"}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(s *testServer) {
				t := s.t
				c := s.connect(patchedPath, func(cfg *wsx.Config) { cfg.MaxMessageSize = 1000 })
				advance(2 * time.Second)
				send(s)
				synctest.Wait()
				require.NoError(t, c.AwaitReady(t.Context()))
				assert.Equal(t, 2, s.SessionsOpened())
				assert.Contains(t, s.log.String(), "level=WARN")
			})
		})
	}
}

func TestFrameOfUnknownTypeIsIgnored(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		s.SendRaw([]byte(`{"meta": {"msg_type": "zwsx.new"}}`))
		_, err := c.Invoke(t.Context(), "zato.ping", nil)
		require.NoError(t, err)
		assert.Equal(t, 1, s.SessionsOpened())
		assert.Contains(t, s.log.String(), "zwsx.new")
	})
}
