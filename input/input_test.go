package input_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "github.com/zato-connect/zato-connect/input"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	_ "github.com/zato-connect/zato-connect/output"
	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

const topic = "/my/topic.gd"

func startServer(t *testing.T, opts ...wsxtest.Option) *wsxtest.Server {
	t.Helper()
	options := append([]wsxtest.Option{
		wsxtest.WithTranscriptServer(), wsxtest.WithDeliveryInterval(10 * time.Millisecond), wsxtest.WithTakeoverDelay(0),
	}, opts...)
	server := wsxtest.NewServer(options...)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	return server
}

// receiver returns a pipeline that receives the topic. The extra fields are added to its input.
func receiver(server *wsxtest.Server, path string, extra ...string) string {
	fields := append([]string{
		fmt.Sprintf("connection: { address: %s, username: user1, secret: secret1, timeout: 2s, "+
			"backoff: { max_interval: 50ms } }",
			server.URL(path)),
		"topics: [ " + topic + " ]",
	}, extra...)
	return "input: { zato_wsx: { " + strings.Join(fields, ", ") + " } }\noutput: { collect: {} }"
}

const (
	patched = "/my.wsx.cid"
	stock   = "/my.wsx"
)

func publish(t *testing.T, server *wsxtest.Server, texts ...string) {
	t.Helper()
	for _, text := range texts {
		_, err := server.Publish(topic, text, wsxtest.PublishOptions{})
		require.NoError(t, err)
	}
}

// subscribed waits until a subscription has a connection, and returns it.
func subscribed(t *testing.T, server *wsxtest.Server) wsxtest.SubscriptionInfo {
	t.Helper()
	var info wsxtest.SubscriptionInfo
	require.Eventually(t, func() bool {
		for _, info = range server.Subscriptions() {
			if info.Attached {
				return true
			}
		}
		return false
	}, streamtest.Timeout, time.Millisecond)
	return info
}

// startReceiving starts a server and a pipeline that has subscribed to the topic.
func startReceiving(t *testing.T, opts ...wsxtest.Option) (*wsxtest.Server, *streamtest.Stream) {
	t.Helper()
	server := startServer(t, opts...)
	s := streamtest.Start(t, receiver(server, patched))
	subscribed(t, server)
	return server, s
}

func TestFrameBecomesABatchInTheServersOrder(t *testing.T) {
	server, s := startReceiving(t, wsxtest.WithDeliveryInterval(time.Second))
	inMemory := false // the server orders stored messages by time
	for i, priority := range []int{1, 9, 5} {
		_, err := server.Publish(topic, strconv.Itoa(i), wsxtest.PublishOptions{
			Priority: priority, GuaranteedDelivery: &inMemory,
		})
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"1", "2", "0"}, streamtest.Texts(t, s.Next()))
}

// metadata returns the metadata of a message.
func metadata(t *testing.T, m *service.Message) map[string]any {
	t.Helper()
	out := map[string]any{}
	require.NoError(t, m.MetaWalkMut(func(k string, v any) error {
		out[k] = v
		return nil
	}))
	return out
}

func TestMetadataFieldSelectsTheMetadata(t *testing.T) {
	keys := map[string][]string{
		"none": {},
		"default": {
			"zato_topic", "zato_msg_id", "zato_correl_id", "zato_in_reply_to", "zato_priority", "zato_mime_type",
			"zato_pub_time", "zato_delivery_count",
		},
	}
	keys["all"] = append([]string{
		"zato_ext_client_id", "zato_expiration", "zato_size", "zato_expiration_time", "zato_recv_time",
	}, keys["default"]...)
	for mode, expected := range keys {
		server := startServer(t)
		s := streamtest.Start(t, receiver(server, patched, "metadata: "+mode))
		subscribed(t, server)
		_, err := server.Publish(topic, "x", wsxtest.PublishOptions{
			Priority: 7, CorrelID: "c", InReplyTo: "r", ExtClientID: "p",
		})
		require.NoError(t, err)
		meta := metadata(t, s.Next()[0])
		var got []string
		for k, v := range meta {
			got = append(got, k)
			assert.NotContains(t, fmt.Sprint(v), "zpsk")
		}
		assert.ElementsMatch(t, expected, got, mode)
		if mode != "none" {
			assert.Equal(t, int64(7), meta["zato_priority"], "a number stays a number")
			assert.Equal(t, topic, meta["zato_topic"])
			assert.Equal(t, server.Published()[0].ID, meta["zato_msg_id"])
		}
	}
}

func TestDocumentationListsTheMetadata(t *testing.T) {
	found := 0
	service.NewEnvironment().WalkInputs(func(name string, view *service.ConfigView) {
		if name != "zato_wsx" {
			return
		}
		found++
		docs, err := view.TemplateData()
		require.NoError(t, err)
		for _, key := range []string{"zato_topic", "zato_delivery_count", "zato_recv_time"} {
			assert.Contains(t, docs.Description, key)
		}
	})
	assert.Equal(t, 1, found)
}

func TestDuplicatesAreDropped(t *testing.T) {
	server, s := startReceiving(t, wsxtest.WithDuplicates(true), wsxtest.WithDeliveryInterval(200*time.Millisecond))
	publish(t, server, "a", "b", "c", "d")
	assert.ElementsMatch(t, []string{"a", "b", "c", "d"}, s.NextTexts(4))
	require.Eventually(t, func() bool { return len(server.Delivered()) > 4 }, streamtest.Timeout, time.Millisecond)
	publish(t, server, "e")
	assert.Equal(t, []string{"e"}, s.NextTexts(1))
}

func TestRejectedMessagesAreRetriedUnlessThatIsDisabled(t *testing.T) {
	server, s := startReceiving(t)
	publish(t, server, "x")
	assert.Equal(t, []string{"x"}, streamtest.Texts(t, s.Reject(errors.New("not now"))))
	assert.Equal(t, []string{"x"}, s.NextTexts(1))
	s.Stop(streamtest.Timeout)

	s = streamtest.Start(t, receiver(server, patched, "auto_replay_nacks: false"))
	subscribed(t, server)
	publish(t, server, "y")
	assert.Equal(t, []string{"y"}, streamtest.Texts(t, s.Reject(errors.New("never"))))
	publish(t, server, "z")
	assert.Equal(t, []string{"z"}, s.NextTexts(1))
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, s.Log(), "were read from Zato", "a rejected message is settled")
}

func TestUnacknowledgedMessagesAreCountedInAnErrorAtTheStop(t *testing.T) {
	server, s := startReceiving(t)
	for i := range 20 {
		publish(t, server, strconv.Itoa(i))
		require.Eventually(t, func() bool { return len(server.Delivered()) == i+1 }, streamtest.Timeout, time.Millisecond)
	}
	assert.Equal(t, []string{"0", "1"}, s.NextTexts(2))
	s.Stop(3 * time.Second)
	assert.Contains(t, s.Log(), "level=ERROR")
	assert.Contains(t, s.Log(), "18 messages were read from Zato and not acknowledged by the pipeline")
}

func TestNoErrorIsLoggedIfAllMessagesWereAcknowledged(t *testing.T) {
	server, s := startReceiving(t)
	publish(t, server, "x")
	s.NextTexts(1)
	s.Stop(streamtest.Timeout)
	assert.NotContains(t, s.Log(), "level=ERROR")
}

// The read_until input stops its child hard as soon as it has acknowledged the last message. The engine may drop that
// acknowledgement, so the test checks how often that happens.
func TestAcknowledgementThatEndsThePipelineIsRarelyDropped(t *testing.T) {
	server := startServer(t)
	yaml := strings.NewReplacer(
		"input: { zato_wsx:", "input: { read_until: { check: 'true', input: { zato_wsx:",
		" } }\noutput: { collect: {} }", " } } } }\noutput: { drop: {} }",
	).Replace(receiver(server, patched))
	dropped := 0
	for range 40 {
		s := streamtest.Start(t, yaml)
		subscribed(t, server)
		publish(t, server, "last")
		s.AwaitEnd()
		dropped += strings.Count(s.Log(), "level=ERROR")
		require.Eventually(t, func() bool { return server.Connections() == 0 }, streamtest.Timeout, time.Millisecond)
	}
	assert.Less(t, dropped, 8)
}

func TestDurableSubscriptionIsResumedByItsKey(t *testing.T) {
	server := startServer(t)
	first := streamtest.Start(t, receiver(server, patched, "durable: true", "unsubscribe_on_close: false",
		"sub_keys: { "+topic+": zpsk.wsx.none.0 }"))
	key := subscribed(t, server).SubKey
	assert.Contains(t, first.Log(), wsx.ErrResumeFailed.Error())
	first.Stop(streamtest.Timeout)
	require.Eventually(t, func() bool { return !server.Subscriptions()[0].Attached }, streamtest.Timeout, time.Millisecond)
	publish(t, server, "queued")
	second := streamtest.Start(t, receiver(server, patched, "mode: resume", "sub_keys: { "+topic+": "+key+" }"))
	assert.Equal(t, []string{"queued"}, second.NextTexts(1))
	assert.Len(t, server.Subscriptions(), 1)
	assert.NotContains(t, second.Log(), key)
}

func TestModeDecidesWhetherTheKeyIsResumed(t *testing.T) {
	for mode, subscriptions := range map[string]int{"resume": 0, "subscribe_or_resume": 1} {
		server := startServer(t)
		s := streamtest.Start(t, receiver(server, patched, "mode: "+mode, "sub_keys: { "+topic+": zpsk.wsx.none.0 }"))
		s.AwaitLog(wsx.ErrResumeFailed.Error())
		if subscriptions == 1 {
			subscribed(t, server)
		}
		s.Stop(streamtest.Timeout)
		assert.Equal(t, subscriptions, server.Invocations("zato.pubsub.pubapi.subscribe-wsx"), mode)
		assert.NotContains(t, s.Log(), "zpsk")
	}
	server := startServer(t)
	s := streamtest.Start(t, receiver(server, patched, "mode: subscribe", "sub_keys: { "+topic+": zpsk.wsx.none.0 }"))
	subscribed(t, server)
	assert.NotContains(t, s.Log(), "resumed")
}

func TestUnsubscribeOnCloseDeletesTheQueue(t *testing.T) {
	for unsubscribe, left := range map[bool]int{true: 0, false: 1} {
		server := startServer(t)
		key := ""
		if !unsubscribe {
			key = "sub_keys: { " + topic + ": zpsk.wsx.none.0 }"
		}
		fields := []string{"durable: true", fmt.Sprintf("unsubscribe_on_close: %t", unsubscribe)}
		if key != "" {
			fields = append(fields, key)
		}
		s := streamtest.Start(t, receiver(server, patched, fields...))
		s.AwaitLog("Input type zato_wsx is now active")
		s.Stop(streamtest.Timeout)
		assert.Len(t, server.Subscriptions(), left)
	}
}

func TestStockGatewayCausesOneWarning(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, receiver(server, stock, "durable: true", "unsubscribe_on_close: true"))
	subscribed(t, server)
	assert.Equal(t, 1, strings.Count(s.Log(), "cannot make durable subscriptions"))
	publish(t, server, "x")
	assert.Equal(t, []string{"x"}, s.NextTexts(1))
}

func TestQueueOfADurableSubscriptionSurvivesARestartOfTheServer(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, receiver(server, patched, "durable: true", "unsubscribe_on_close: true"))
	s.AwaitLog("Input type zato_wsx is now active")
	for round := range 3 {
		subscribed(t, server)
		server.Stop()
		s.AwaitLog("connection")
		text := fmt.Sprint("round ", round)
		publish(t, server, text)
		require.NoError(t, server.Restart())
		assert.Equal(t, []string{text}, s.NextTexts(1))
	}
}

func TestErrorOfARefusedTopicNamesTheTopic(t *testing.T) {
	server := startServer(t)
	yaml := strings.Replace(receiver(server, patched), topic, "/no/such", 1)
	s := streamtest.Start(t, yaml)
	s.AwaitLog(wsx.ErrSubscribeFailed.Error())
	assert.Contains(t, s.Log(), "/no/such")
	s.Stop(2 * time.Second)
}

func TestEachTopicHasItsOwnConnection(t *testing.T) {
	server := startServer(t)
	yaml := strings.Replace(receiver(server, patched), topic, topic+", /my/topic", 1)
	s := streamtest.Start(t, yaml)
	require.Eventually(t, func() bool { return len(server.Subscriptions()) == 2 }, streamtest.Timeout, time.Millisecond)
	assert.Equal(t, 2, server.SessionsOpened())
	publish(t, server, "one")
	_, err := server.Publish("/my/topic", "two", wsxtest.PublishOptions{})
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"one", "two"}, s.NextTexts(2))
}

func TestConnectionTestLogsIn(t *testing.T) {
	server := startServer(t)
	conn := fmt.Sprintf("{ address: %s, username: user1, secret: secret1 }", server.URL(patched))
	for _, extra := range []string{"", ", extract_tracing_map: 'root = @'"} {
		yaml := "input: { zato_wsx: { connection: %s, topics: [ /t ]" + extra + " } }\n" +
			"output: { zato_wsx: { connection: %[1]s, topic: /t" + strings.Replace(extra, "extract", "inject", 1) + " } }"
		assert.Equal(t, []error{nil, nil}, streamtest.New(t, fmt.Sprintf(yaml, conn)).ConnectionTests(), extra)
		wrong := strings.Replace(conn, "secret1", "wrong", 1)
		for _, err := range streamtest.New(t, fmt.Sprintf(yaml, wrong)).ConnectionTests() {
			require.ErrorContains(t, err, wsx.ErrLoginRefused.Error(), extra)
		}
	}
	assert.Empty(t, server.Subscriptions(), "a test subscribes to nothing")
	require.Eventually(t, func() bool { return server.Connections() == 0 }, streamtest.Timeout, time.Millisecond)
}

const (
	connectGateway = "connection: { address: 'ws://h/p', gateway: connect }"
	stockGateway   = "connection: { address: 'ws://h/p', gateway: stock }"
)

// withConnection adds a connection to fields that have none.
func withConnection(fields string) string {
	if strings.Contains(fields, "connection: ") {
		return fields
	}
	return "connection: { address: 'ws://h/p' }, " + fields
}

func TestLinterReportsInvalidFields(t *testing.T) {
	linter := service.NewEnvironment().NewComponentConfigLinter()
	for finding, fields := range map[string]string{
		"":                           "topics: [ /t ]",
		"at least one topic":         "topics: []",
		"a topic is empty":           "topics: [ '' ]",
		"a topic is listed twice":    "topics: [ /t, /t ]",
		"durable: needs a cache":     "topics: [ /t ], durable: true",
		"resume needs a cache":       "topics: [ /t ], mode: resume",
		"must be at least 1":         "topics: [ /t ], prefetch_count: 0",
		"value other is not a valid": "topics: [ /t ], mode: other",
		"cache, sub_keys, mode":      "topics: [ /t ], cache: c, subscription: s",
		"sub_keys, mode":             "topics: [ /t ], sub_keys: { /t: k }, subscription: s",
		"mode, durable":              "topics: [ /t ], mode: subscribe, subscription: s",
		"durable and":                "topics: [ /t ], durable: false, subscription: s",
		"respond_to_messages say":    "topics: [ /t ], respond_to_messages: true, shared: true",
		"say how Zato pushes":        "topics: [ /t ], mode: subscribe, " + connectGateway,
		"need the companion":         "topics: [ /t ], subscription: s, " + stockGateway,
	} {
		lints, err := linter.LintInputYAML([]byte("zato_wsx: { " + withConnection(fields) + " }"))
		require.NoError(t, err)
		if finding == "" {
			assert.Empty(t, lints)
			continue
		}
		assert.Contains(t, fmt.Sprint(lints), finding, fields)
	}
}

func TestConfigurationErrorsNameTheField(t *testing.T) {
	for field, fields := range map[string]string{
		"topics":         "topics: []",
		"prefetch_count": "topics: [ /t ], prefetch_count: 0",
		"max_size":       "topics: [ /t ], journal: { max_size: 0 }",
		"sub_keys":       "topics: [ /t ], mode: resume",
		"cache":          "topics: [ /t ], cache: none",
		"connection":     "topics: [ /t ], connection: { address: 'http://h/p' }",
		"field subscription: name: has 201 characters": "topics: [ /t ], subscription: " + strings.Repeat("s", 201),
		"field shared: needs a name":                   "topics: [ /t ], shared: true",
		"respond_to_messages say how Zato pushes":      "topics: [ /t ], subscription: s, mode: subscribe",
		"need the companion services":                  "topics: [ /t ], subscription: s, " + stockGateway,
	} {
		err := streamtest.BuildError(t, "input: { zato_wsx: { "+withConnection(fields)+" } }\noutput: { drop: {} }")
		require.ErrorContains(t, err, field)
	}
}

func TestExamplesPassTheLinter(t *testing.T) {
	t.Setenv("ZATO_WSX_USERNAME", "u")
	t.Setenv("ZATO_WSX_SECRET", "s")
	t.Setenv("ORDERS_SUB_KEY", "k")
	streamtest.LintExamples(t, "zato_wsx", service.NewEnvironment().WalkInputs)
}
