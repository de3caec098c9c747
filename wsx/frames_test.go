package wsx_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// pushOf is a frame of n messages whose texts are from, from+1 and so on, with so many
// bytes behind each.
func pushOf(from, n, padding int) []byte {
	var list []string
	for i := from; i < from+n; i++ {
		list = append(list, fmt.Sprintf(`{"msg_id": "m%d", "data": "%d %s"}`, i, i, strings.Repeat("x", padding)))
	}
	return fmt.Appendf(nil, `{"meta": {"msg_type": "zwsx.psrq", "id": "f"}, "data": [%s]}`, strings.Join(list, ", "))
}

func TestLargeFramesKeepTheirOrder(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.subscribed(func(cfg *wsx.Config) { cfg.PrefetchCount = 100 })
		const frames = 30
		var expected []string
		total := 0
		for i := range frames {
			n, padding := []int{500, 1, 100, 2}[i%4], []int{1000, 10, 1000, 100_000}[i%4]
			l.SendRaw(pushOf(total, n, padding))
			for range n {
				expected = append(expected, strconv.Itoa(total))
				total++
			}
		}
		got := l.receive(c, total)
		for i := range got {
			got[i], _, _ = strings.Cut(got[i], " ")
		}
		assert.Equal(t, expected, got)
	})
}

func TestWhatFollowsALargeBrokenFrameIsReceived(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"half":      func(raw []byte) []byte { return raw[:len(raw)/2] },
		"two types": func(raw []byte) []byte { return append(raw[:len(raw)-1], `, "meta": {"msg_type": "zwsx.rspok"}}`...) },
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				t := l.t
				c := l.ready(patched, func(cfg *wsx.Config) { cfg.PrefetchCount = 3 })
				_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
				require.NoError(t, err)
				l.SendRaw(pushOf(0, 1, 100), spoil(pushOf(1, 100, 1000)), pushOf(101, 1, 0))
				for _, expected := range []string{"0 ", "101 "} {
					assert.True(t, strings.HasPrefix(l.receive(c, 1)[0], expected))
				}
				require.NoError(t, c.AwaitReady(t.Context()))
				synctest.Wait()
				assert.Equal(t, 2, l.SessionsOpened())
				assert.Contains(t, l.log.String(), "decoding a frame")
			})
		})
	}
}

func TestWhatFollowsABrokenFrameIsReceived(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(t, err)
		l.SendRaw([]byte(`{"meta": broken`),
			[]byte(`{"meta": {"msg_type": "zwsx.psrq", "id": "m"}, "data": {"msg_id": "m", "data": "behind"}}`))
		assert.Equal(t, []string{"behind"}, l.receive(c, 1))
		require.NoError(t, c.AwaitReady(t.Context()))
		assert.Equal(t, 2, l.SessionsOpened())
		assert.Contains(t, l.log.String(), "decoding a frame")
	})
}
