package input_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// replaceServer stops a server and starts another one at its address, until the returned function is called.
func replaceServer(t *testing.T, server *wsxtest.Server, channels ...wsxtest.Channel) (restore func()) {
	t.Helper()
	server.Stop()
	options := []wsxtest.Option{wsxtest.WithAddress(server.Addr())}
	for _, ch := range channels {
		ch.Username, ch.Secret = "user1", "secret1"
		options = append(options, wsxtest.WithChannel(ch))
	}
	other := wsxtest.NewServer(options...)
	require.NoError(t, other.Start())
	t.Cleanup(other.Close)
	return func() {
		other.Close()
		require.NoError(t, server.Restart())
	}
}

func TestServerThatIsBackWithoutItsServicesIsToldOnceAndLosesNothing(t *testing.T) {
	server, s := startFetching(t)
	publish(t, server, "a")
	assert.Equal(t, []string{"a"}, s.NextTexts(1))
	restore := replaceServer(t, server, wsxtest.Channel{Path: companionPath, Gateway: wsxtest.Stock})
	s.AwaitLog(wsx.ErrNoCompanion.Error())
	publish(t, server, "b")
	restore()
	assert.Equal(t, []string{"b"}, s.NextTexts(1))
	assert.Equal(t, 1, strings.Count(s.Log(), "level=ERROR"), s.Log())
}

func TestChannelThatIsGoneIsToldOnceAndReceivedWhenItIsBack(t *testing.T) {
	for _, start := range []func(*testing.T, ...string) (*wsxtest.Server, *streamtest.Stream){
		startFetching, startPushing,
	} {
		server, s := start(t)
		s.AwaitLog("Input type zato_wsx is now active")
		restore := replaceServer(t, server, wsxtest.Channel{Path: "/another"})
		s.AwaitLog("Zato rejected the connection")
		restore()
		publish(t, server, "b")
		assert.Equal(t, []string{"b"}, s.NextTexts(1))
		assert.Equal(t, 1, strings.Count(s.Log(), "level=ERROR"), s.Log())
	}
}

// startPushing starts a server and a pipeline with an input to which the server pushes.
func startPushing(t *testing.T, extra ...string) (*wsxtest.Server, *streamtest.Stream) {
	t.Helper()
	server := startServer(t)
	s := streamtest.Start(t, withCache(server, patched, t.TempDir(), extra...))
	subscribed(t, server)
	return server, s
}

func TestMessageWithoutAnIDIsReceived(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, receiver(server, patched))
	subscribed(t, server)
	const withID = `"msg_id": "zpsm000000000000000000000000"`
	for _, id := range []string{`"msg_id": null`, `"msg_id": ""`, `"position_in_group": 1`, `"msg_id": null`} {
		frame := strings.Replace(string(fullFrames(1, 1)[0]), withID, id, 1)
		server.SendRaw([]byte(frame))
		message := s.Next()[0]
		assert.NotContains(t, metadata(t, message), "zato_msg_id", id)
	}
}
