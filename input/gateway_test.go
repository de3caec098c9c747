package input_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestStockGatewayPushesAndOneLineSaysWhatIsMissing(t *testing.T) {
	server := startServer(t)
	yaml := receiver(server, stock, "subscription: archive")
	one := strings.TrimSuffix(strings.TrimPrefix(strings.Split(yaml, "\n")[0], "input: "), "\n")
	other := strings.Replace(one, topic, "/my/topic", 1)
	s := streamtest.Start(t, "input: { broker: { inputs: [ "+one+", "+other+" ] } }\noutput: { collect: {} }")
	subscribed(t, server)
	publish(t, server, "a")
	assert.Equal(t, []string{"a"}, s.NextTexts(1))
	assert.Equal(t, 1, strings.Count(s.Log(), "The channel is not mounted on the companion services"), s.Log())
	assert.Contains(t, s.Log(), "docs/guarantees.md")
}

func TestGatewayIsNotAskedIfAFieldSaysHowZatoPushes(t *testing.T) {
	for _, extra := range []string{
		"mode: subscribe", "durable: false", "respond_to_messages: true", "sub_keys: { " + topic + ": k }",
	} {
		server := startCompanion(t)
		s := streamtest.Start(t, strings.Replace(receiver(server, companionPath, extra), "input: {", "input: { label: x,", 1))
		subscribed(t, server)
		publish(t, server, "a")
		assert.Equal(t, []string{"a"}, s.NextTexts(1), extra)
		assert.Zero(t, server.Invocations("connect.describe"), extra)
		assert.NotContains(t, s.Log(), "companion", extra)
	}
}

func TestInputWithoutANameIsPushedToAndSaysWhatToSet(t *testing.T) {
	server := startCompanion(t)
	s := streamtest.Start(t, receiver(server, companionPath))
	subscribed(t, server)
	publish(t, server, "a")
	assert.Equal(t, []string{"a"}, s.NextTexts(1))
	assert.Equal(t, 1, strings.Count(s.Log(), "To lose none, set subscription to a name, or give the input a label"))
}

func TestStockGatewayIsNotAskedIfTheConfigurationNamesIt(t *testing.T) {
	server := startCompanion(t)
	yaml := strings.Replace(receiver(server, companionPath), "timeout: 2s", "timeout: 2s, gateway: stock", 1)
	s := streamtest.Start(t, strings.Replace(yaml, "input: {", "input: { label: x,", 1))
	subscribed(t, server)
	publish(t, server, "a")
	assert.Equal(t, []string{"a"}, s.NextTexts(1))
	assert.Zero(t, server.Invocations("connect.describe"))
	assert.NotContains(t, s.Log(), "companion")
}

func TestGatewayThatCannotBeDescribedIsAskedAgain(t *testing.T) {
	server := startCompanion(t)
	server.FailInvocations("connect.describe", 3)
	s := streamtest.Start(t, fetcher(server))
	publish(t, server, "a")
	assert.Equal(t, []string{"a"}, s.NextTexts(1))
	assert.Contains(t, s.Log(), "if the channel has no companion services, set connection.gateway to stock")
	awaitNamed(t, server, isEmpty)
}

func TestSharedSubscriptionIsRefusedWithoutTheCompanion(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, receiver(server, stock, "subscription: archive", "shared: true"))
	s.AwaitLog("field shared: the channel has no companion services")
	assert.Empty(t, server.Subscriptions())
}

func TestUnsubscribeOnCloseDeletesANamedSubscription(t *testing.T) {
	server, s := startFetching(t, "unsubscribe_on_close: true")
	publish(t, server, "a")
	assert.Equal(t, []string{"a"}, s.NextTexts(1))
	s.Stop(3 * time.Second)
	assert.Empty(t, server.Subscriptions())
}

func TestMessagesInTheJournalAreDeliveredBeforeThoseThatAreFetched(t *testing.T) {
	server := startCompanion(t)
	journal := journalField(t.TempDir())
	s := streamtest.Start(t, receiver(server, patched, journal))
	subscribed(t, server)
	publish(t, server, "left in the journal")
	s.AwaitMetricValue(`zato_wsx_unacked_messages{label="",path="root.input"}`, 1)
	s.Stop(3 * time.Second)

	s = streamtest.Start(t, fetcher(server, journal))
	batch := s.Next()
	assert.Equal(t, []string{"left in the journal"}, streamtest.Texts(t, batch))
	assert.Equal(t, true, metadata(t, batch[0])["zato_replayed"])
	awaitNamed(t, server, exists)
	publish(t, server, "fetched")
	batch = s.Next()
	assert.Equal(t, []string{"fetched"}, streamtest.Texts(t, batch))
	assert.NotContains(t, metadata(t, batch[0]), "zato_replayed")
	awaitNamed(t, server, isEmpty)
}

func TestStopWhileAFetchWaitsAtTheServerReleasesTheSubscription(t *testing.T) {
	server, s := startFetching(t)
	publish(t, server, "a")
	assert.Equal(t, []string{"a"}, s.NextTexts(1))
	awaitNamed(t, server, isEmpty)
	sessions := server.SessionsOpened()
	s.Stop(3 * time.Second)
	assert.Empty(t, named(server).ClientID)
	assert.Equal(t, sessions, server.SessionsOpened(), "the release needs no other connection")
	assert.NotContains(t, s.Log(), "level=WARN")
}

func TestStopReleasesTheSubscriptionAlsoIfTheServerIsSlow(t *testing.T) {
	server, s := startFetching(t)
	publish(t, server, "a")
	assert.Equal(t, []string{"a"}, s.NextTexts(1))
	awaitNamed(t, server, isEmpty)
	server.DelayResponses(300 * time.Millisecond)
	s.Stop(3 * time.Second)
	assert.Empty(t, named(server).ClientID)
	assert.NotContains(t, s.Log(), "level=WARN")
}

func TestFetchingInputStopsSoonInEveryState(t *testing.T) {
	for name, prepare := range map[string]func(*wsxtest.Server, *streamtest.Stream){
		"a fetch waits":        func(*wsxtest.Server, *streamtest.Stream) {},
		"the server is gone":   func(server *wsxtest.Server, _ *streamtest.Stream) { server.Stop() },
		"the server is silent": func(server *wsxtest.Server, _ *streamtest.Stream) { server.Freeze(time.Minute) },
		"the pipeline is blocked": func(server *wsxtest.Server, _ *streamtest.Stream) {
			for i := range 20 {
				publish(t, server, strconv.Itoa(i))
			}
		},
		"logins are refused": func(server *wsxtest.Server, s *streamtest.Stream) {
			server.RefuseLogins(-1)
			server.Cut()
			s.AwaitLog("Zato rejected the connection")
		},
	} {
		server, s := startFetching(t)
		prepare(server, s)
		t.Log(name)
		s.Stop(2 * time.Second)
		assert.NotContains(t, s.Log(), "are lost")
		server.Close()
	}
}

// Connections end before and after the server has run any call, in the middle of frames, and with the server.
func TestFaultsNeitherLoseNorRepeatFetchedMessages(t *testing.T) {
	const messages, faults = 3000, 60
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	server := startCompanion(t)
	s := streamtest.Start(t, strings.Replace(fetcher(server, "prefetch_count: 2"), "max_interval: 50ms",
		"initial_interval: 5ms, max_interval: 10ms", 1))
	awaitNamed(t, server, exists)
	injected := make(chan struct{})
	go func() {
		defer close(injected)
		inject := []func(){
			server.Cut, func() { server.CutBeforeResponse(1) }, func() { server.CutAfterFetch(1) },
			func() { server.Disconnect(1001, "going away") }, server.SendPartialFrame,
			func() { server.FailInvocations("connect.fetch", 1) }, func() { server.FailInvocations("connect.subscribe", 1) },
			func() { server.RefuseLogins(1) }, func() {
				server.Stop()
				assert.NoError(t, server.Restart())
			},
		}
		for i := range messages {
			_, err := server.Publish(topic, strconv.Itoa(i), wsxtest.PublishOptions{})
			assert.NoError(t, err)
			if i%(messages/faults) == 0 {
				inject[random.IntN(len(inject))]()
			}
			if i%10 == 0 {
				time.Sleep(time.Millisecond) //nolint:forbidigo // spreads the faults over the messages
			}
		}
	}()
	received := map[string]int{}
	for len(received) < messages {
		for _, text := range s.NextTexts(1) {
			received[text]++
		}
	}
	<-injected
	awaitNamed(t, server, isEmpty)
	s.Stop(3 * time.Second)
	for text, times := range received {
		assert.Equal(t, 1, times, text)
	}
}

func TestStoppedConsumerOfASharedSubscriptionLeavesNoMessageToItsLease(t *testing.T) {
	server, s := startFetching(t, "shared: true")
	publish(t, server, "a")
	assert.Equal(t, []string{"a"}, s.NextTexts(1))
	awaitNamed(t, server, isEmpty) // then the fetch that confirmed the message waits for the next one
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Stop(2 * time.Second)
	}()
	for running := true; running; {
		select {
		case <-ended:
			running = false
		default:
			publish(t, server, "b")
		}
	}
	assert.Zero(t, named(server).Unconfirmed)
	assert.NotContains(t, s.Log(), "level=WARN")
}
