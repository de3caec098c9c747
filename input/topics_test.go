package input_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

const (
	otherTopic = "/my/topic"
	// limited is the path of a channel without the right to subscribe to the topic forbidden.
	limited   = "/my.wsx.limited"
	forbidden = "/my/forbidden"
	// later is a topic that the server does not have until a test adds it.
	later = "/my/later"
)

// startLimitedServer starts a server with a channel that may not subscribe to the topic forbidden.
func startLimitedServer(t *testing.T) *wsxtest.Server {
	t.Helper()
	return startServer(t,
		wsxtest.WithChannel(wsxtest.Channel{
			Path: limited, Username: "user1", Secret: "secret1", NoSubscribe: []string{forbidden},
		}),
		wsxtest.WithTopic(wsxtest.Topic{Name: forbidden}))
}

// receiverOf returns a pipeline like receiver's for other topics.
func receiverOf(server *wsxtest.Server, path string, topics ...string) string {
	return strings.Replace(receiver(server, path), "topics: [ "+topic, "topics: [ "+strings.Join(topics, ", "), 1)
}

// withoutRetries makes the wait after a rejection longer than any test. The wait after another failure stays short.
func withoutRetries(yaml string) string {
	return strings.Replace(yaml, "{ max_interval: 50ms }", "{ initial_interval: 10ms, max_interval: 1h }", 1)
}

func publishTo(t *testing.T, server *wsxtest.Server, topic, text string) {
	t.Helper()
	_, err := server.Publish(topic, text, wsxtest.PublishOptions{})
	require.NoError(t, err)
}

func TestTopicFlowsBesideOneThatIsRefused(t *testing.T) {
	for name, topics := range map[string][]string{
		"listed before it": {topic, forbidden}, "listed after it": {forbidden, topic},
	} {
		t.Run(name, func(t *testing.T) {
			server := startLimitedServer(t)
			s := streamtest.Start(t, withoutRetries(receiverOf(server, limited, topics...)))
			subscribed(t, server)
			for _, text := range numbered(0, 10) {
				publish(t, server, text)
				assert.Equal(t, []string{text}, s.NextTexts(1))
			}
			s.Stop(streamtest.Timeout)
			assert.Contains(t, s.Log(), wsx.ErrSubscribeFailed.Error())
			assert.Regexp(t, `Could not subscribe to topic \\"`+forbidden+`\\", the next attempt is in (1h|[3-5]\dm)`, s.Log())
			assert.NotContains(t, s.Log(), "were read from Zato", "no message is lost at the stop")
			assert.NotContains(t, s.Log(), "lost its connection")
		})
	}
}

// If the cut topic is the one that is allowed, both fail. Connect must not wait as long as after a rejection.
func TestTopicWhoseFirstSubscriptionIsCutFlowsBesideOneThatIsRefused(t *testing.T) {
	for range 6 {
		server := startLimitedServer(t)
		server.CutBeforeResponse(1)
		s := streamtest.Start(t, withoutRetries(receiverOf(server, limited, topic, forbidden)))
		subscribed(t, server)
		publish(t, server, "x")
		assert.Equal(t, []string{"x"}, s.NextTexts(1))
		s.Stop(streamtest.Timeout)
	}
}

func TestRefusedTopicFlowsOnceItIsAllowed(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, receiverOf(server, patched, topic, later))
	subscribed(t, server)
	publish(t, server, "before")
	assert.Equal(t, []string{"before"}, s.NextTexts(1))
	wsxtest.WithTopic(wsxtest.Topic{Name: later})(server)
	require.Eventually(t, func() bool { return len(server.Subscriptions()) == 2 }, streamtest.Timeout, time.Millisecond)
	publishTo(t, server, later, "allowed")
	assert.Equal(t, []string{"allowed"}, s.NextTexts(1))
	s.AwaitLog(`Topic \"` + later + `\" is subscribed now`)
	publish(t, server, "after")
	assert.Equal(t, []string{"after"}, s.NextTexts(1))
}

func TestRefusalIsLoggedOncePerChangeOfError(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, receiverOf(server, patched, topic, later))
	require.Eventually(t, func() bool {
		return server.Invocations("zato.pubsub.pubapi.subscribe-wsx") >= 6
	}, streamtest.Timeout, time.Millisecond)
	s.Stop(streamtest.Timeout)
	var levels []string
	for line := range strings.Lines(s.Log()) {
		if strings.Contains(line, later) && strings.Contains(line, wsx.ErrSubscribeFailed.Error()) {
			levels = append(levels, strings.Fields(line)[1])
		}
	}
	require.GreaterOrEqual(t, len(levels), 4)
	assert.Equal(t, "level=ERROR", levels[0])
	for _, level := range levels[1:] {
		assert.Equal(t, "level=DEBUG", level)
	}
}

func TestInputConnectsOnceOneOfItsRefusedTopicsIsAllowed(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, receiverOf(server, patched, later, "/never"))
	s.AwaitLog("Failed to connect to zato_wsx")
	assert.NotContains(t, s.Log(), "Input type zato_wsx is now active")
	wsxtest.WithTopic(wsxtest.Topic{Name: later})(server)
	subscribed(t, server)
	publishTo(t, server, later, "allowed")
	assert.Equal(t, []string{"allowed"}, s.NextTexts(1))
	s.Stop(streamtest.Timeout)
	var refusals int
	for line := range strings.Lines(s.Log()) {
		if strings.Contains(line, "level=ERROR") && strings.Contains(line, `Could not subscribe to topic \"/never\"`) {
			refusals++
		}
	}
	assert.Equal(t, 1, refusals)
}

func TestInputWithRefusedTopicsStopsAtOnce(t *testing.T) {
	server := startLimitedServer(t)
	s := streamtest.Start(t, withoutRetries(receiverOf(server, limited, topic, forbidden)))
	subscribed(t, server)
	s.AwaitLog("Input type zato_wsx is now active")
	s.Stop(2 * time.Second)
	s = streamtest.Start(t, withoutRetries(receiverOf(server, limited, forbidden)))
	s.AwaitLog("Failed to connect to zato_wsx")
	s.Stop(2 * time.Second)
}

func TestLostConnectionDoesNotDisconnectTheInput(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, receiverOf(server, patched, topic, otherTopic))
	s.AwaitLog("Input type zato_wsx is now active")
	for round := range 3 {
		server.Cut()
		require.Eventually(t, func() bool {
			attached := 0
			for _, info := range server.Subscriptions() {
				if info.Attached {
					attached++
				}
			}
			return attached == 2
		}, streamtest.Timeout, time.Millisecond)
		publish(t, server, strconv.Itoa(round))
		assert.Equal(t, []string{strconv.Itoa(round)}, s.NextTexts(1))
	}
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, s.Log(), "lost its connection")
}

// The server sends messages as soon as the subscription exists, which is before its key is saved. The pipeline must
// receive them although Connect still waits for the topic.
func TestMessagesFlowWhileTheKeyCannotBeSaved(t *testing.T) {
	server, dir := startServer(t), filepath.Join(t.TempDir(), "missing")
	s := streamtest.Start(t, withCache(server, patched, dir, "prefetch_count: 1"))
	subscribed(t, server)
	for _, text := range numbered(0, 10) {
		publish(t, server, text)
	}
	assert.Equal(t, numbered(0, 10), s.NextTexts(10))
	assert.Contains(t, s.Log(), "using cache")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.Eventually(t, func() bool {
		_, err := os.Stat(cacheFile(dir))
		return err == nil
	}, streamtest.Timeout, time.Millisecond)
	publish(t, server, "saved")
	assert.Equal(t, []string{"saved"}, s.NextTexts(1))
}

// The connection ends while the subscription is being resumed, and more frames have arrived than the client may hold.
// The client opens no other connection before these frames are taken.
func TestFramesOfAResumeThatWasCutAreDelivered(t *testing.T) {
	const messages = 2000 // 500 in a frame
	for name, pipeline := range map[string]string{
		"to a quick pipeline": "",
		"to a slow pipeline":  "\npipeline: { threads: 1, processors: [ { sleep: { duration: 50us } } ] }",
	} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, wsxtest.WithPushBeforeResponse())
			s := streamtest.Start(t, receiver(server, patched, "durable: true", "sub_keys: { "+topic+": zpsk.wsx.none.0 }"))
			key := subscribed(t, server).SubKey
			s.Stop(streamtest.Timeout)
			detached := func() bool { return !server.Subscriptions()[0].Attached }
			require.Eventually(t, detached, streamtest.Timeout, time.Millisecond)
			publish(t, server, numbered(0, messages)...)
			server.CutBeforeResponse(1)
			s = streamtest.Start(t, receiver(server, patched, "prefetch_count: 1", "mode: resume",
				"sub_keys: { "+topic+": "+key+" }")+pipeline)
			assert.Equal(t, numbered(0, messages), s.NextTexts(messages))
			subscribed(t, server)
			publish(t, server, "after")
			assert.Equal(t, []string{"after"}, s.NextTexts(1))
		})
	}
}
