package input_test

import (
	"fmt"
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

// withCache returns a receiver with a file cache in a directory.
func withCache(server *wsxtest.Server, path, dir string, extra ...string) string {
	return receiver(server, path, append(extra, "cache: keys")...) +
		fmt.Sprintf("\ncache_resources: [ { label: keys, file: { directory: %q } } ]\n", dir)
}

// cacheFile returns the path of the topic's key in the file cache.
func cacheFile(dir string) string {
	return filepath.Join(dir, "zato_wsx."+strings.ReplaceAll(topic, "/", "%2F"))
}

func TestNextProcessResumesTheSubscriptionWithTheCachedKey(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	first := streamtest.Start(t, withCache(server, patched, dir))
	key := subscribed(t, server).SubKey
	first.AwaitLog("This is normal at the first start")
	first.AwaitLog("Input type zato_wsx is now active")
	first.Stop(streamtest.Timeout)
	content, err := os.ReadFile(cacheFile(dir))
	require.NoError(t, err)
	assert.Contains(t, string(content), key)

	publish(t, server, "queued")
	second := streamtest.Start(t, withCache(server, patched, dir))
	assert.Equal(t, []string{"queued"}, second.NextTexts(1))
	assert.Len(t, server.Subscriptions(), 1)
	assert.NotContains(t, second.Log(), "level=WARN")
	assert.NotContains(t, first.Log()+second.Log(), key)
}

func TestUnchangedKeyIsNotWrittenAgain(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	s := streamtest.Start(t, withCache(server, patched, dir))
	s.AwaitLog("Input type zato_wsx is now active")
	s.Stop(streamtest.Timeout)
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	require.NoError(t, os.Chtimes(cacheFile(dir), past, past))
	require.NoError(t, os.Truncate(cacheFile(dir)+"#owner", 0), "as after a kill during the write")

	s = streamtest.Start(t, withCache(server, patched, dir))
	s.AwaitLog("Input type zato_wsx is now active")
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, s.Log(), "level=WARN")
	assert.NotContains(t, s.Log(), "taken over")
	file, err := os.Stat(cacheFile(dir))
	require.NoError(t, err)
	assert.True(t, past.Equal(file.ModTime()), "a kill during the write would leave the file empty")
	owner, err := os.ReadFile(cacheFile(dir) + "#owner")
	require.NoError(t, err)
	assert.Contains(t, string(owner), strconv.Itoa(os.Getpid()))
}

func TestLostOrInvalidKeyCausesAWarningAndANewSubscription(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"lost":      os.Remove,
		"truncated": func(path string) error { return os.WriteFile(path, []byte(`{"sub_key":`), 0o600) },
		"no string": func(path string) error { return os.WriteFile(path, []byte(`{"sub_key": 1}`), 0o600) },
		"unknown":   func(path string) error { return os.WriteFile(path, []byte(`{"sub_key": "zpsk.wsx.none.0"}`), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			server, dir := startServer(t), t.TempDir()
			s := streamtest.Start(t, withCache(server, patched, dir))
			s.AwaitLog("Input type zato_wsx is now active")
			s.Stop(streamtest.Timeout)
			require.NoError(t, damage(cacheFile(dir)))

			failing := streamtest.Start(t, withCache(server, patched, dir, "mode: resume"))
			failing.AwaitLog(wsx.ErrResumeFailed.Error())
			failing.Stop(streamtest.Timeout)
			assert.Len(t, server.Subscriptions(), 1)

			s = streamtest.Start(t, withCache(server, patched, dir))
			s.AwaitLog("Input type zato_wsx is now active")
			assert.Contains(t, s.Log(), "level=WARN")
			assert.Contains(t, s.Log(), "may be lost")
			publish(t, server, "x")
			assert.Equal(t, []string{"x"}, s.NextTexts(1))
			assert.NotContains(t, failing.Log()+s.Log(), "zpsk")
		})
	}
}

func TestFailingCacheDoesNotCauseANewSubscription(t *testing.T) {
	server := startServer(t)
	file := filepath.Join(t.TempDir(), "no directory")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	s := streamtest.Start(t, withCache(server, patched, file))
	s.AwaitLog("using cache")
	assert.Empty(t, server.Subscriptions())
}

func TestKeyOfAReplacedSubscriptionIsCached(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	s := streamtest.Start(t, withCache(server, patched, dir))
	former := subscribed(t, server).SubKey
	s.AwaitLog("Input type zato_wsx is now active")
	server.Stop()
	server.DropSubscriptions()
	require.NoError(t, server.Restart())
	key := subscribed(t, server).SubKey
	require.NotEqual(t, former, key)
	require.Eventually(t, func() bool {
		content, err := os.ReadFile(cacheFile(dir))
		return err == nil && strings.Contains(string(content), key)
	}, streamtest.Timeout, time.Millisecond)
	assert.Contains(t, s.Log(), "messages published meanwhile may be lost")
}

// startRivals starts two pipelines. The second one takes the subscription of the first one over.
func startRivals(t *testing.T, server *wsxtest.Server, dir string) (first, second *streamtest.Stream) {
	t.Helper()
	first = streamtest.Start(t, withCache(server, patched, dir, "unsubscribe_on_close: true"))
	first.AwaitLog("Input type zato_wsx is now active")
	second = streamtest.Start(t, withCache(server, patched, dir))
	second.AwaitLog("Input type zato_wsx is now active")
	return first, second
}

func TestTakeoverByAnotherProcessCausesAWarning(t *testing.T) {
	server, dir := startServer(t, wsxtest.WithReliableSubscriptions()), t.TempDir()
	first, second := startRivals(t, server, dir)
	first.AwaitLog("was taken over by process")
	assert.Contains(t, first.Log(), strconv.Itoa(os.Getpid()))
	first.AwaitMetric(downSeries(topic), func(seconds float64) bool { return seconds > 0 })
	second.AwaitMetricValue(downSeries(topic), 0)
	first.Stop(streamtest.Timeout)
	assert.Len(t, server.Subscriptions(), 1, "the subscription of the other process stays")
	publish(t, server, "x")
	assert.Equal(t, []string{"x"}, second.NextTexts(1))
	assert.NotContains(t, second.Log(), "taken over")
}

func TestCloseDoesNotEndASubscriptionThatWasTakenOver(t *testing.T) {
	server, dir := startServer(t, wsxtest.WithReliableSubscriptions()), t.TempDir()
	first, second := startRivals(t, server, dir)
	first.Stop(streamtest.Timeout) // before its next check of the cache
	assert.Contains(t, first.Log(), "has taken it over")
	assert.FileExists(t, cacheFile(dir))
	publish(t, server, "x")
	assert.Equal(t, []string{"x"}, second.NextTexts(1))
}

func TestOtherProcessIsWarnedWhenTheSubscriptionIsTakenBack(t *testing.T) {
	server, dir := startServer(t, wsxtest.WithReliableSubscriptions()), t.TempDir()
	first := streamtest.Start(t, withCache(server, patched, dir))
	first.AwaitLog("Input type zato_wsx is now active")
	second := streamtest.Start(t, strings.Replace(withCache(server, patched, dir), "timeout: 2s", "client_id: other", 1))
	second.AwaitLog("Input type zato_wsx is now active")
	first.AwaitLog("was taken over by process")
	for _, info := range server.Subscriptions() {
		if info.ClientID != "other" {
			server.CutClient(info.ClientID) // the client reconnects and resumes the subscription
		}
	}
	second.AwaitLog("was taken over by process")
	publish(t, server, "x")
	assert.Equal(t, []string{"x"}, first.NextTexts(1))
}

func TestOverwrittenCacheEntryIsNoTakeover(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	first := streamtest.Start(t, withCache(server, patched, dir, "unsubscribe_on_close: true"))
	first.AwaitLog("Input type zato_wsx is now active")
	second := streamtest.Start(t, withCache(server, patched, dir, "mode: subscribe"))
	second.AwaitLog("Input type zato_wsx is now active")
	first.AwaitLog("is no longer cached")
	first.Stop(streamtest.Timeout)
	assert.Len(t, server.Subscriptions(), 1, "each process ends its own subscription")
	publish(t, server, "x")
	assert.Equal(t, []string{"x"}, second.NextTexts(1))
}

func TestKeyOfAnUnsubscribedTopicIsRemovedFromTheCache(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	s := streamtest.Start(t, withCache(server, patched, dir, "unsubscribe_on_close: true"))
	s.AwaitLog("Input type zato_wsx is now active")
	assert.FileExists(t, cacheFile(dir))
	s.Stop(streamtest.Timeout)
	assert.NoFileExists(t, cacheFile(dir))
	assert.Empty(t, server.Subscriptions())
}

func TestConfiguredKeyIsCachedOnlyIfAnotherReplacesIt(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	configured := func(key string) string { return "sub_keys: { " + topic + ": " + key + " }" }
	s := streamtest.Start(t, withCache(server, patched, dir, configured("zpsk.wsx.none.0")))
	s.AwaitLog("Input type zato_wsx is now active")
	info := subscribed(t, server)
	assert.True(t, info.Durable)
	s.Stop(streamtest.Timeout)

	s = streamtest.Start(t, withCache(server, patched, dir, configured("zpsk.wsx.none.0")))
	s.AwaitLog("Input type zato_wsx is now active")
	assert.Len(t, server.Subscriptions(), 1, "the subscription that replaced it is resumed")
	s.Stop(streamtest.Timeout)
	require.NoError(t, os.Remove(cacheFile(dir)))

	s = streamtest.Start(t, withCache(server, patched, dir, configured(info.SubKey)))
	s.AwaitLog("Input type zato_wsx is now active")
	assert.Len(t, server.Subscriptions(), 1)
	assert.NoFileExists(t, cacheFile(dir))
}

func TestKeyOfASubscriptionThatIsNotDurableIsNotCached(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	s := streamtest.Start(t, withCache(server, stock, dir))
	s.AwaitLog("Input type zato_wsx is now active")
	assert.Contains(t, s.Log(), "cannot make durable subscriptions")
	assert.NoFileExists(t, cacheFile(dir))
}
