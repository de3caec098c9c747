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
	"github.com/zato-connect/zato-connect/wsxtest"
)

// remembering is a receiver whose keys are remembered in files of a directory.
func remembering(server *wsxtest.Server, path, dir string, more ...string) string {
	return receiver(server, path, append(more, "cache: keys")...) +
		fmt.Sprintf("\ncache_resources: [ { label: keys, file: { directory: %q } } ]\n", dir)
}

// entry is the file of the topic in a cache of files.
func entry(dir string) string {
	return filepath.Join(dir, "zato_wsx."+strings.ReplaceAll(topic, "/", "%2F"))
}

func TestRememberedSubscriptionIsResumedByTheNextProcess(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	first := streamtest.Start(t, remembering(server, patched, dir))
	key := subscribed(t, server).SubKey
	first.Logged("This is normal at the first start")
	first.Logged("Input type zato_wsx is now active")
	first.Stop(streamtest.Limit)
	content, err := os.ReadFile(entry(dir))
	require.NoError(t, err)
	assert.Contains(t, string(content), key)

	publish(t, server, "kept")
	second := streamtest.Start(t, remembering(server, patched, dir))
	assert.Equal(t, []string{"kept"}, second.Texts(1))
	assert.Len(t, server.Subscriptions(), 1)
	assert.NotContains(t, second.Log(), "new subscription")
	assert.NotContains(t, first.Log()+second.Log(), key)
}

func TestKeyThatStaysTheSameIsNotWrittenAgain(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	s := streamtest.Start(t, remembering(server, patched, dir))
	s.Logged("Input type zato_wsx is now active")
	s.Stop(streamtest.Limit)
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	require.NoError(t, os.Chtimes(entry(dir), past, past))
	require.NoError(t, os.Truncate(entry(dir)+"#owner", 0), "a kill in the moment of writing")

	s = streamtest.Start(t, remembering(server, patched, dir))
	s.Logged("Input type zato_wsx is now active")
	s.Stop(streamtest.Limit)
	assert.NotContains(t, s.Log(), "new subscription")
	assert.NotContains(t, s.Log(), "taken over")
	file, err := os.Stat(entry(dir))
	require.NoError(t, err)
	assert.True(t, past.Equal(file.ModTime()), "a kill in the moment of writing would leave nothing in it")
	owner, err := os.ReadFile(entry(dir) + "#owner")
	require.NoError(t, err)
	assert.Contains(t, string(owner), strconv.Itoa(os.Getpid()))
}

func TestLostOrSpoiltKeyIsAWarningAndANewSubscription(t *testing.T) {
	for name, spoil := range map[string]func(string) error{
		"lost":    os.Remove,
		"spoilt":  func(path string) error { return os.WriteFile(path, []byte(`{"sub_key":`), 0o600) },
		"no text": func(path string) error { return os.WriteFile(path, []byte(`{"sub_key": 1}`), 0o600) },
		"unknown": func(path string) error { return os.WriteFile(path, []byte(`{"sub_key": "zpsk.wsx.none.0"}`), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			server, dir := startServer(t), t.TempDir()
			s := streamtest.Start(t, remembering(server, patched, dir))
			s.Logged("Input type zato_wsx is now active")
			s.Stop(streamtest.Limit)
			require.NoError(t, spoil(entry(dir)))

			failing := streamtest.Start(t, remembering(server, patched, dir, "mode: resume"))
			failing.Logged("subscription could not be resumed")
			failing.Stop(streamtest.Limit)
			assert.Len(t, server.Subscriptions(), 1)

			s = streamtest.Start(t, remembering(server, patched, dir))
			s.Logged("Input type zato_wsx is now active")
			assert.Contains(t, s.Log(), "level=WARN")
			assert.Contains(t, s.Log(), "may be lost")
			publish(t, server, "x")
			assert.Equal(t, []string{"x"}, s.Texts(1))
			assert.NotContains(t, failing.Log()+s.Log(), "zpsk")
		})
	}
}

func TestCacheThatCannotTellIsNoReasonToSubscribeAnew(t *testing.T) {
	server := startServer(t)
	file := filepath.Join(t.TempDir(), "no directory")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	s := streamtest.Start(t, remembering(server, patched, file))
	s.Logged("using cache")
	assert.Empty(t, server.Subscriptions())
}

func TestKeyOfASubscriptionThatWasMadeAnewIsRemembered(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	s := streamtest.Start(t, remembering(server, patched, dir))
	former := subscribed(t, server).SubKey
	s.Logged("Input type zato_wsx is now active")
	server.Stop()
	server.DropSubscriptions()
	require.NoError(t, server.Restart())
	key := subscribed(t, server).SubKey
	require.NotEqual(t, former, key)
	require.Eventually(t, func() bool {
		content, err := os.ReadFile(entry(dir))
		return err == nil && strings.Contains(string(content), key)
	}, streamtest.Limit, time.Millisecond)
	assert.Contains(t, s.Log(), "what was published meanwhile may be lost")
}

func TestTakeOverByAnotherProcessIsTold(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	first := streamtest.Start(t, remembering(server, patched, dir, "unsubscribe_on_close: true"))
	first.Logged("Input type zato_wsx is now active")
	second := streamtest.Start(t, remembering(server, patched, dir))
	second.Logged("Input type zato_wsx is now active")
	first.Logged("was taken over by process")
	assert.Contains(t, first.Log(), strconv.Itoa(os.Getpid()))
	first.Stop(streamtest.Limit)
	assert.Len(t, server.Subscriptions(), 1, "what is another's is left alone")
	publish(t, server, "x")
	assert.Equal(t, []string{"x"}, second.Texts(1))
	assert.NotContains(t, second.Log(), "taken over")
}

func TestSubscriptionThatAnotherProcessHasJustTakenIsLeftAlone(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	first := streamtest.Start(t, remembering(server, patched, dir, "unsubscribe_on_close: true"))
	first.Logged("Input type zato_wsx is now active")
	second := streamtest.Start(t, remembering(server, patched, dir))
	second.Logged("Input type zato_wsx is now active")
	first.Stop(streamtest.Limit) // before it has noticed
	assert.Contains(t, first.Log(), "has taken it over")
	assert.FileExists(t, entry(dir))
	publish(t, server, "x")
	assert.Equal(t, []string{"x"}, second.Texts(1))
}

func TestSubscriptionThatIsTakenBackIsToldToTheOther(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	first := streamtest.Start(t, remembering(server, patched, dir))
	first.Logged("Input type zato_wsx is now active")
	second := streamtest.Start(t, strings.Replace(remembering(server, patched, dir), "timeout: 2s", "client_id: other", 1))
	second.Logged("Input type zato_wsx is now active")
	first.Logged("was taken over by process")
	for _, info := range server.Subscriptions() {
		if info.ClientID != "other" {
			server.CutClient(info.ClientID) // it comes back with the subscription
		}
	}
	second.Logged("was taken over by process")
	publish(t, server, "x")
	assert.Equal(t, []string{"x"}, first.Texts(1))
}

func TestEntryThatAnotherProcessOverwritesIsNoTakeOver(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	first := streamtest.Start(t, remembering(server, patched, dir, "unsubscribe_on_close: true"))
	first.Logged("Input type zato_wsx is now active")
	second := streamtest.Start(t, remembering(server, patched, dir, "mode: subscribe"))
	second.Logged("Input type zato_wsx is now active")
	first.Logged("is no longer cached")
	first.Stop(streamtest.Limit)
	assert.Len(t, server.Subscriptions(), 1, "each ends its own")
	publish(t, server, "x")
	assert.Equal(t, []string{"x"}, second.Texts(1))
}

func TestUnsubscribedTopicIsForgotten(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	s := streamtest.Start(t, remembering(server, patched, dir, "unsubscribe_on_close: true"))
	s.Logged("Input type zato_wsx is now active")
	assert.FileExists(t, entry(dir))
	s.Stop(streamtest.Limit)
	assert.NoFileExists(t, entry(dir))
	assert.Empty(t, server.Subscriptions())
}

func TestKeyThatTheConfigurationNamesIsRememberedOnlyWhereAnotherStandsForIt(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	configured := func(key string) string { return "sub_keys: { " + topic + ": " + key + " }" }
	s := streamtest.Start(t, remembering(server, patched, dir, configured("zpsk.wsx.none.0")))
	s.Logged("Input type zato_wsx is now active")
	info := subscribed(t, server)
	assert.True(t, info.Durable)
	s.Stop(streamtest.Limit)

	s = streamtest.Start(t, remembering(server, patched, dir, configured("zpsk.wsx.none.0")))
	s.Logged("Input type zato_wsx is now active")
	assert.Len(t, server.Subscriptions(), 1, "the one that stands for it is resumed")
	s.Stop(streamtest.Limit)
	require.NoError(t, os.Remove(entry(dir)))

	s = streamtest.Start(t, remembering(server, patched, dir, configured(info.SubKey)))
	s.Logged("Input type zato_wsx is now active")
	assert.Len(t, server.Subscriptions(), 1)
	assert.NoFileExists(t, entry(dir))
}

func TestNothingIsRememberedWhereTheGatewayCannotKeepIt(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	s := streamtest.Start(t, remembering(server, stock, dir))
	s.Logged("Input type zato_wsx is now active")
	assert.Contains(t, s.Log(), "cannot make durable subscriptions")
	assert.NoFileExists(t, entry(dir))
}
