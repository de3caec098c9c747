package input_test

import (
	"errors"
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

// companionPath is the channel that is mounted on the companion services.
const companionPath = "/my.wsx.connect"

// startCompanion starts a server that has that channel.
func startCompanion(t *testing.T) *wsxtest.Server {
	t.Helper()
	return startServer(t, wsxtest.WithChannel(wsxtest.Channel{
		Path: companionPath, Username: "user1", Secret: "secret1", Gateway: wsxtest.Connect,
	}))
}

// fetcher returns a pipeline that fetches the topic from the subscription "archive".
func fetcher(server *wsxtest.Server, extra ...string) string {
	return receiver(server, companionPath, append([]string{"subscription: archive"}, extra...)...)
}

// named returns the only named subscription of a server, or one without a key.
func named(server *wsxtest.Server) wsxtest.SubscriptionInfo {
	for _, info := range server.Subscriptions() {
		if info.Name != "" {
			return info
		}
	}
	return wsxtest.SubscriptionInfo{}
}

// awaitNamed waits until the named subscription matches.
func awaitNamed(t *testing.T, server *wsxtest.Server, match func(wsxtest.SubscriptionInfo) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		info := named(server)
		return info.SubKey != "" && match(info)
	}, streamtest.Timeout, time.Millisecond, "%+v", named(server))
}

func isEmpty(info wsxtest.SubscriptionInfo) bool { return info.Depth == 0 && info.Unconfirmed == 0 }

func exists(wsxtest.SubscriptionInfo) bool { return true }

// startFetching starts a server and a pipeline that fetches from it.
func startFetching(t *testing.T, extra ...string) (*wsxtest.Server, *streamtest.Stream) {
	t.Helper()
	server := startCompanion(t)
	s := streamtest.Start(t, fetcher(server, extra...))
	awaitNamed(t, server, exists)
	return server, s
}

// companionClient returns a client of the channel that is mounted on the companion services.
func companionClient(t *testing.T, server *wsxtest.Server) *wsx.Client {
	t.Helper()
	c, err := wsx.New(wsx.Config{
		Address: server.URL(companionPath), Username: "user1", Secret: "secret1", ClientID: "other",
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestFetchedMessagesHaveTheMetadataOfPushedOnes(t *testing.T) {
	server := startCompanion(t)
	pushed := streamtest.Start(t, receiver(server, patched, "metadata: all"))
	subscribed(t, server)
	fetched := streamtest.Start(t, fetcher(server, "metadata: all"))
	awaitNamed(t, server, exists)
	_, err := server.Publish(topic, "x", wsxtest.PublishOptions{CorrelID: "c", InReplyTo: "r", Priority: 7})
	require.NoError(t, err)
	want := metadata(t, pushed.Next()[0])
	got := metadata(t, fetched.Next()[0])
	assert.Contains(t, want, "zato_recv_time")
	delete(want, "zato_recv_time") // Zato's database does not have it
	assert.Equal(t, want, got)
}

func TestAcknowledgedMessagesAreConfirmed(t *testing.T) {
	server, s := startFetching(t)
	publish(t, server, "a", "b", "c")
	assert.Equal(t, []string{"a", "b", "c"}, s.NextTexts(3))
	awaitNamed(t, server, isEmpty)
	s.AwaitMetricValue(`zato_wsx_unacked_messages{label="",path="root.input"}`, 0)
	s.Stop(3 * time.Second)
	assert.NotContains(t, s.Log(), "acknowledged by the pipeline")
	assert.NotContains(t, s.Log(), "level=WARN")
	assert.NotContains(t, s.Log(), "level=ERROR")
}

func TestFetchedMessagesThatAreNotAcknowledgedComeAgainInTheNextProcess(t *testing.T) {
	server, s := startFetching(t)
	publish(t, server, "a", "b")
	s.Reject(errors.New("not now"))
	s.Stop(3 * time.Second)
	assert.Contains(t, s.Log(), "messages of topic \\\""+topic+"\\\" were not acknowledged by the pipeline before it "+
		"stopped: they stay in their queue in Zato")
	assert.NotContains(t, s.Log(), "are lost")
	assert.Zero(t, named(server).Unconfirmed, "they were given back")
	assert.Empty(t, named(server).ClientID, "the subscription was released")

	s = streamtest.Start(t, fetcher(server))
	var counts []any
	var texts []string
	for len(texts) < 2 {
		batch := s.Next()
		texts = append(texts, streamtest.Texts(t, batch)...)
		for _, m := range batch {
			counts = append(counts, metadata(t, m)["zato_delivery_count"])
		}
	}
	assert.Equal(t, []string{"a", "b"}, texts)
	assert.Equal(t, int64(2), counts[0])
	awaitNamed(t, server, isEmpty)
}

func TestMessagesPublishedBeforeTheNextProcessAreNotLost(t *testing.T) {
	server, s := startFetching(t)
	s.Stop(3 * time.Second)
	publish(t, server, "a", "b")
	s = streamtest.Start(t, fetcher(server))
	assert.Equal(t, []string{"a", "b"}, s.NextTexts(2))
}

func TestLabelIsTheDefaultNameOfTheSubscription(t *testing.T) {
	server := startCompanion(t)
	yaml := strings.Replace(receiver(server, companionPath), "input: {", "input: { label: orders,", 1)
	streamtest.Start(t, yaml)
	awaitNamed(t, server, func(info wsxtest.SubscriptionInfo) bool { return info.Name == "orders" })
}

func TestWaitingMessagesBecomeOneBatch(t *testing.T) {
	server, s := startFetching(t, "prefetch_count: 2")
	s.Stop(3 * time.Second)
	var all []string
	for i := range 1200 {
		all = append(all, strconv.Itoa(i))
	}
	publish(t, server, all...)
	s = streamtest.Start(t, fetcher(server, "prefetch_count: 2"))
	var got []string
	var sizes []int
	for len(got) < len(all) {
		batch := s.Next()
		sizes = append(sizes, len(batch))
		got = append(got, streamtest.Texts(t, batch)...)
	}
	assert.Equal(t, all, got)
	assert.Equal(t, []int{500, 500, 200}, sizes)
	awaitNamed(t, server, isEmpty)
}

func TestRejectedMessageIsReturnedToZatoIfItIsNotRetried(t *testing.T) {
	server, s := startFetching(t, "auto_replay_nacks: false")
	publish(t, server, "a")
	for i := range 3 {
		batch := s.Reject(errors.New("not now"))
		assert.Equal(t, []string{"a"}, streamtest.Texts(t, batch))
		assert.Equal(t, int64(i+1), metadata(t, batch[0])["zato_delivery_count"])
	}
	assert.Equal(t, []string{"a"}, s.NextTexts(1))
	awaitNamed(t, server, isEmpty)
}

func TestOnlyFailedMessagesAreReturnedToZato(t *testing.T) {
	server, s := startFetching(t, "auto_replay_nacks: false")
	s.Stop(3 * time.Second)
	publish(t, server, "a", "b", "c")
	s = streamtest.Start(t, fetcher(server, "auto_replay_nacks: false"))
	assert.Equal(t, []string{"a", "b", "c"}, streamtest.Texts(t, s.RejectWith(failingAt(1, 2))))
	assert.Equal(t, []string{"b", "c"}, s.NextTexts(2))
	awaitNamed(t, server, isEmpty)
}

func TestMessageThatKeepsFailingDoesNotHoldUpTheConfirmationOfOthers(t *testing.T) {
	server, s := startFetching(t)
	s.Stop(3 * time.Second)
	publish(t, server, "a", "b", "c")
	s = streamtest.Start(t, fetcher(server))
	s.RejectWith(failingAt(1, 2))
	awaitNamed(t, server, func(info wsxtest.SubscriptionInfo) bool { return info.Unconfirmed == 2 })
	assert.Equal(t, []string{"b", "c"}, s.NextTexts(2))
}

func TestAnswerOfAFetchThatIsLostLosesNothing(t *testing.T) {
	server, s := startFetching(t)
	var want, got []string
	for i := range 20 {
		server.CutAfterFetch(1)
		want = append(want, strconv.Itoa(i))
		publish(t, server, strconv.Itoa(i))
		got = append(got, s.NextTexts(1)...)
	}
	assert.Equal(t, want, got)
	awaitNamed(t, server, isEmpty)
	s.Stop(3 * time.Second)
	assert.NotContains(t, s.Log(), "acknowledged by the pipeline")
}

// startLosingASubscription starts an input that gets a message, "a". The answer with another one, "b", is lost, and
// so is the answer to the next subscription. subscribed is the number of subscriptions before it.
func startLosingASubscription(t *testing.T) (server *wsxtest.Server, s *streamtest.Stream, subscribed int) {
	t.Helper()
	server, s = startFetching(t)
	publish(t, server, "a")
	assert.Equal(t, []string{"a"}, s.NextTexts(1))
	awaitNamed(t, server, isEmpty) // then the fetch that confirmed the message waits for the next one
	subscribed = server.Invocations("connect.subscribe")
	server.CutAfterFetch(1)
	server.CutBeforeResponse(1) // to the subscription
	publish(t, server, "b")
	return server, s, subscribed
}

func TestAnswerOfASubscriptionThatIsLostDoesNotMakeTheConsumerStandBy(t *testing.T) {
	server, s, subscribed := startLosingASubscription(t)
	assert.Equal(t, []string{"b"}, s.NextTexts(1))
	assert.Equal(t, subscribed+2, server.Invocations("connect.subscribe"))
	assert.NotContains(t, s.Log(), "Another consumer")
}

func TestFailureBehindALostAnswerDoesNotMakeTheConsumerStandBy(t *testing.T) {
	server, s, subscribed := startLosingASubscription(t)
	require.Eventually(t, func() bool { return server.Invocations("connect.subscribe") == subscribed+1 },
		streamtest.Timeout, time.Millisecond)
	server.FailInvocations("connect.subscribe", 1)
	assert.Equal(t, []string{"b"}, s.NextTexts(1))
	assert.NotContains(t, s.Log(), "Another consumer")
}

func TestMessagesThatThePipelineHasAreNotRepeatedAfterALostConnection(t *testing.T) {
	server, s := startFetching(t)
	publish(t, server, "a")
	// It is handed out before its answer is sent, which is not to be cut.
	s.AwaitMetric(`input_received{label="",path="root.input"}`, func(n float64) bool { return n == 1 })
	server.CutAfterFetch(1)
	publish(t, server, "b")
	// The second fetch hands out both, since the answer of the first was lost.
	s.AwaitMetric(`zato_wsx_duplicates_dropped{label="",path="root.input",topic="/my/topic.gd"}`,
		func(n float64) bool { return n >= 1 })
	assert.Equal(t, []string{"a", "b"}, s.NextTexts(2))
	awaitNamed(t, server, isEmpty)
}

func TestErrorsOfTheServerPassAndAreLoggedOnce(t *testing.T) {
	server, s := startFetching(t)
	for _, service := range []string{"connect.fetch", "connect.subscribe"} {
		awaitNamed(t, server, isEmpty) // then the fetch that confirmed the last message waits for the next one
		server.FailInvocations(service, 5)
		server.Cut()
		publish(t, server, service)
		assert.Equal(t, []string{service}, s.NextTexts(1))
	}
	awaitNamed(t, server, isEmpty)
	assert.Equal(t, 2, strings.Count(s.Log(), "level=WARN msg=\"Could not subscribe to topic"), "one for each service")
}

func TestDeletedSubscriptionIsMadeAgainWithAWarning(t *testing.T) {
	for _, shared := range []string{"shared: false", "shared: true"} {
		server, s := startFetching(t, shared)
		publish(t, server, "a")
		assert.Equal(t, []string{"a"}, s.NextTexts(1))
		awaitNamed(t, server, isEmpty)
		_, err := companionClient(t, server).UnsubscribeNamed(t.Context(), topic, "archive")
		require.NoError(t, err)
		s.AwaitLog("was deleted and is made again: messages that were published meanwhile may be lost")
		publish(t, server, "b")
		assert.Equal(t, []string{"b"}, s.NextTexts(1))
	}
}

func TestMessageThatIsTooLargeStaysInZato(t *testing.T) {
	server := startCompanion(t)
	yaml := strings.Replace(fetcher(server), "timeout: 2s", "timeout: 2s, max_message_size: 8000", 1)
	s := streamtest.Start(t, yaml)
	awaitNamed(t, server, exists)
	publish(t, server, "small")
	assert.Equal(t, []string{"small"}, s.NextTexts(1))
	publish(t, server, strings.Repeat("x", 7000), "behind")
	s.AwaitLog("the next message is larger than three quarters of max_message_size: raise max_message_size")
	id := server.Published()[1].ID
	assert.Contains(t, s.Log(), id, "the error names the message")
	awaitNamed(t, server, func(info wsxtest.SubscriptionInfo) bool { return info.Depth == 2 && info.Unconfirmed == 0 })
	calls := server.Invocations("connect.fetch")
	require.Eventually(t, func() bool { return server.Invocations("connect.fetch") > calls+3 },
		streamtest.Timeout, time.Millisecond, "it tries again")
	assert.Equal(t, 1, server.Invocations("connect.subscribe"), "which gives nothing back that the pipeline has")
	assert.Equal(t, 1, strings.Count(s.Log(), "level=ERROR"))
	s.Stop(3 * time.Second)
	s = streamtest.Start(t, fetcher(server))
	assert.Len(t, s.NextTexts(2)[0], 7000)
}

// A return that is repeated would take the message from the consumer that has it meanwhile.
func TestMessageIsReturnedOnceAlthoughTheNextOneIsTooLarge(t *testing.T) {
	server := startServer(t, wsxtest.WithFrameRecorder(1000), wsxtest.WithChannel(wsxtest.Channel{
		Path: companionPath, Username: "user1", Secret: "secret1", Gateway: wsxtest.Connect,
	}))
	yaml := strings.Replace(fetcher(server, "shared: true, auto_replay_nacks: false"), "timeout: 2s",
		"timeout: 2s, max_message_size: 8000", 1)
	s := streamtest.Start(t, yaml)
	awaitNamed(t, server, exists)
	publish(t, server, "small")
	awaitNamed(t, server, func(info wsxtest.SubscriptionInfo) bool { return info.Unconfirmed == 1 })
	_, err := server.Publish(topic, strings.Repeat("x", 7000), wsxtest.PublishOptions{Priority: 9})
	require.NoError(t, err)
	s.Reject(errors.New("not now"))
	awaitNamed(t, server, func(info wsxtest.SubscriptionInfo) bool { return info.Depth == 2 })
	s.AwaitLog("the next message is larger")
	calls := server.Invocations("connect.fetch")
	require.Eventually(t, func() bool { return server.Invocations("connect.fetch") > calls+2 },
		streamtest.Timeout, time.Millisecond, "it tries again")
	returns := 0
	for _, f := range server.Frames() {
		if f.FromClient && strings.Contains(string(f.Payload), `"returned":["`+server.Published()[0].ID+`"]`) {
			returns++
		}
	}
	assert.Equal(t, 1, returns)
}

func TestMessageThatAlwaysFailsDoesNotComeAgainAllTheTime(t *testing.T) {
	server, s := startFetching(t, "auto_replay_nacks: false")
	publish(t, server, "a")
	start := time.Now()
	const times = 8
	for range times {
		s.Reject(errors.New("never"))
	}
	assert.GreaterOrEqual(t, time.Since(start), 600*time.Millisecond)
	assert.Less(t, server.Invocations("connect.fetch"), 4*times)
	publish(t, server, "b")
	assert.Equal(t, []string{"b"}, s.NextTexts(1), "others flow")
}

func TestConsumerThatLosesItsSubscriptionStandsByAndGetsItBack(t *testing.T) {
	server, first := startFetching(t)
	other := companionClient(t, server)
	q, err := other.SubscribeNamed(t.Context(), wsx.NamedSubscription{Topic: topic, Name: "archive"})
	require.NoError(t, err)
	first.AwaitLog(`Another consumer has the subscription \"archive\" to topic \"` + topic + `\" now, the client other`)
	first.AwaitMetricValue(`zato_wsx_stands_by{label="",path="root.input",topic="/my/topic.gd"}`, 1)
	publish(t, server, "a")
	got, err := other.Fetch(t.Context(), q, wsx.FetchRequest{Max: 1, Wait: time.Second})
	require.NoError(t, err)
	require.Len(t, got.Messages, 1)
	_, err = other.Fetch(t.Context(), q, wsx.FetchRequest{Release: true})
	require.NoError(t, err)
	down := 0.0
	first.AwaitMetric(downSeries(topic), func(seconds float64) bool {
		down = max(down, seconds)
		return strings.Contains(first.Log(), "This process has the subscription")
	})
	assert.Zero(t, down, "to stand by is no fault")
	assert.Equal(t, []string{"a"}, first.NextTexts(1))
	assert.Contains(t, first.Log(), "This process has the subscription \\\"archive\\\" to topic \\\""+topic+"\\\" again")
	first.AwaitMetricValue(`zato_wsx_stands_by{label="",path="root.input",topic="/my/topic.gd"}`, 0)
	awaitNamed(t, server, isEmpty)
}

func TestConsumerConfirmsWhatItHadWhenItLostItsSubscription(t *testing.T) {
	server, first := startFetching(t)
	publish(t, server, "a")
	awaitNamed(t, server, func(info wsxtest.SubscriptionInfo) bool { return info.Unconfirmed == 1 })
	_, err := companionClient(t, server).SubscribeNamed(t.Context(), wsx.NamedSubscription{Topic: topic, Name: "archive"})
	require.NoError(t, err)
	first.AwaitLog("Another consumer has the subscription")
	assert.Equal(t, []string{"a"}, first.NextTexts(1))
	awaitNamed(t, server, isEmpty)
}

func TestSharedSubscriptionGivesEachMessageToOneProcess(t *testing.T) {
	server := startCompanion(t)
	yaml := strings.Replace(fetcher(server, "shared: true"), "collect: {}", "drop: {}", 1)
	streams := []*streamtest.Stream{streamtest.Start(t, yaml), streamtest.Start(t, yaml)}
	for _, s := range streams {
		s.AwaitLog("Input type zato_wsx is now active")
	}
	const messages = 500
	for i := range messages {
		publish(t, server, strconv.Itoa(i))
	}
	awaitNamed(t, server, isEmpty)
	received := 0.0
	for _, s := range streams {
		s.AwaitMetric(`input_received{label="",path="root.input"}`, func(n float64) bool {
			received += n
			return true
		})
	}
	assert.InDelta(t, messages, received, 0)
}
