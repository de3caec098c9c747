package output_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/output"
	"github.com/zato-connect/zato-connect/wsxtest"
)

const (
	publishList   = "connect.publish"
	publishSingle = "zato.pubsub.pubapi.publish-message"
)

// startCompanion starts a server whose channel is mounted on the companion services.
func startCompanion(t *testing.T, options ...wsxtest.Option) *wsxtest.Server {
	t.Helper()
	return startServer(t, append(options, wsxtest.WithChannel(wsxtest.Channel{
		Path: "/my.wsx.connect", Username: "user1", Secret: "secret1", Gateway: wsxtest.Connect,
	}))...)
}

// listPublisher is publisher on the channel of startCompanion.
func listPublisher(server *wsxtest.Server, fields ...string) string {
	return strings.Replace(publisher(server, fields...), "/my.wsx,", "/my.wsx.connect,", 1)
}

// contents returns what was published to a topic.
func contents(t *testing.T, server *wsxtest.Server, topic string) []string {
	t.Helper()
	var out []string
	for _, m := range server.Published() {
		if m.Topic == topic {
			var text string
			require.NoError(t, json.Unmarshal(m.Data, &text))
			out = append(out, text)
		}
	}
	return out
}

// fed is a batch that was fed to a pipeline.
type fed struct {
	s     *streamtest.Stream
	sent  *service.Indexer
	acked <-chan error
}

func feed(s *streamtest.Stream, contents ...string) fed {
	var batch service.MessageBatch
	for _, c := range contents {
		batch = append(batch, service.NewMessage([]byte(c)))
	}
	sent := batch.Index()
	return fed{s, sent, s.FeedBatch(batch)}
}

// failures returns the errors of the messages that were rejected, by their contents.
func (f fed) failures(t *testing.T) map[string]string {
	t.Helper()
	var failed *service.BatchError
	require.ErrorAs(t, f.s.AwaitAck(f.acked), &failed)
	out := map[string]string{}
	failed.WalkMessagesIndexedBy(f.sent, func(_ int, msg *service.Message, err error) bool {
		if err != nil {
			content, _ := msg.AsBytes()
			out[string(content)] = err.Error()
		}
		return true
	})
	return out
}

func TestBatchIsOneCallForEachTopicInItsOrder(t *testing.T) {
	server := startCompanion(t)
	s := streamtest.Start(t, listPublisher(server, `topic: '/my/${! content().slice(0, 6).trim("-") }'`))
	require.NoError(t, s.AwaitAck(s.Feed("topic--1", "topic2-a", "topic--2", "topic2-b", "topic--3")))
	assert.Equal(t, []string{"topic--1", "topic--2", "topic--3"}, contents(t, server, "/my/topic"))
	assert.Equal(t, []string{"topic2-a", "topic2-b"}, contents(t, server, "/my/topic2"))
	assert.Equal(t, 2, server.Invocations(publishList))
	assert.Zero(t, server.Invocations(publishSingle))
}

func TestMessagesOfAListWithoutACorrelationIDGetOneEach(t *testing.T) {
	server := startCompanion(t)
	s := streamtest.Start(t, listPublisher(server, "topic: /my/topic"))
	require.NoError(t, s.AwaitAck(s.Feed("1", "2", "3")))
	ids := map[string]bool{}
	for _, m := range server.Published() {
		ids[m.CorrelID] = true
	}
	assert.Len(t, ids, 3)
	assert.NotContains(t, ids, "")
}

func TestListHasNoMoreMessagesThanMaxList(t *testing.T) {
	server := startCompanion(t)
	s := streamtest.Start(t, listPublisher(server, topic, "max_list: 2"))
	require.NoError(t, s.AwaitAck(s.Feed("1", "2", "3", "4", "5")))
	assert.Equal(t, []string{"1", "2", "3", "4", "5"}, contents(t, server, "/my/topic"))
	assert.Equal(t, 3, server.Invocations(publishList))
	assert.Zero(t, server.Invocations(publishSingle))
}

func TestLoneMessageIsAListUnlessItIsGuaranteedAndNothingIsKnownOfTheGateway(t *testing.T) {
	for fields, first := range map[string]string{
		"":                            publishList,
		"has_gd: false":               publishList,
		"has_gd: true":                publishSingle,
		"has_gd: true, correl_id: me": publishSingle,
		"has_gd: true, msg_id: '${! count(\"id\") }'":       publishList,
		"has_gd: true, mime_type: text/csv":                 publishList,
		"has_gd: true, ext_client_id: me":                   publishList,
		"has_gd: true, ext_pub_time: '2026-01-02T03:04:05'": publishList,
	} {
		server := startCompanion(t)
		s := streamtest.Start(t, listPublisher(server, slices.DeleteFunc([]string{topic, fields},
			func(f string) bool { return f == "" })...))
		require.NoError(t, s.AwaitAck(s.Feed("1")))
		assert.Equal(t, 1, server.Invocations(first), fields)
		require.NoError(t, s.AwaitAck(s.Feed("2", "3")))
		require.NoError(t, s.AwaitAck(s.Feed("4")))
		assert.Len(t, server.Published(), 4)
		calls := map[string]int{publishList: 2}
		calls[first]++
		assert.Equal(t, calls[publishList], server.Invocations(publishList), fields)
		assert.Equal(t, calls[publishSingle], server.Invocations(publishSingle), fields)
	}
}

func TestMessageThatIsRefusedDoesNotFailItsNeighbours(t *testing.T) {
	server := startCompanion(t)
	s := streamtest.Start(t, listPublisher(server, topic,
		`priority: '${! if content() == "bad priority" { "99" } else { "5" } }'`,
		`correl_id: '${! if content() == "long" { "x".repeat(201) } else { "" } }'`,
		`ext_client_id: '${! if content() == "long client" { "x".repeat(201) } else { "" } }'`,
		`msg_id: '${! if content() == "long id" { "x".repeat(201) } else { "" } }'`))
	failed := feed(s, "1", "bad priority", "2", "long", "", "long id", "long client", "3").failures(t)
	assert.Equal(t, map[string]string{
		"bad priority": `publishing to topic "/my/topic": priority: is 99: use 1 to 9, or leave it empty`,
		"long":         `publishing to topic "/my/topic": correl_id: has 201 characters: use up to 200`,
		"long client":  `publishing to topic "/my/topic": the server answered 400 bad ext_client_id`,
		"":             `publishing to topic "/my/topic": data: is empty, which Zato refuses to publish`,
		"long id":      `publishing to topic "/my/topic": msg_id: has 201 characters: use up to 200`,
	}, failed)
	assert.Equal(t, []string{"1", "2", "3"}, contents(t, server, "/my/topic"))
}

func TestListThatFailsRejectsItsMessagesOnly(t *testing.T) {
	server := startCompanion(t)
	s := streamtest.Start(t, listPublisher(server, `topic: '${! content() }'`))
	failed := feed(s, "/no/such", "/my/topic", "/no/such").failures(t)
	require.Len(t, failed, 1)
	assert.Contains(t, failed["/no/such"], "the server answered 404 No such topic")
	assert.Len(t, server.Published(), 1)
}

func TestMessagesThatZatoDropsFromAListAreCounted(t *testing.T) {
	server := startCompanion(t, wsxtest.WithTopic(wsxtest.Topic{Name: "/my/drop", DropWithoutSubscribers: true}))
	s := streamtest.Start(t, listPublisher(server, "topic: /my/drop", `msg_id: '${! content() }'`))
	require.NoError(t, s.AwaitAck(s.Feed("1", "2")))
	s.AwaitMetricValue(`zato_wsx_messages_dropped_without_subscriber{label="",path="root.output"}`, 2)
	assert.Equal(t, 1, strings.Count(s.Log(), "has no subscriber"))
}

func TestStockGatewayGetsSingleCalls(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, publisher(server, topic))
	require.NoError(t, s.AwaitAck(s.Feed("1", "2", "3")))
	require.NoError(t, s.AwaitAck(s.Feed("4", "5")))
	assert.Equal(t, 5, server.Invocations(publishSingle))
	assert.Equal(t, 1, server.Invocations("connect.describe"))
	assert.Zero(t, server.Invocations(publishList))
	assert.NotContains(t, s.Log(), "companion")

	s = streamtest.Start(t, strings.Replace(publisher(server, topic), "username", "gateway: stock, username", 1))
	require.NoError(t, s.AwaitAck(s.Feed("6", "7")))
	assert.Equal(t, 1, server.Invocations("connect.describe"), "nobody asks")
}

func TestStockGatewayKeepsTheOrderOfABatchWithOneCallAtATimeOrMsgID(t *testing.T) {
	for _, fields := range []string{"max_in_flight: 1", "msg_id: '${! content() }'"} {
		server := startServer(t)
		s := streamtest.Start(t, publisher(server, `topic: '/my/${! content().split("-").index(0) }'`, fields,
			"retry_lost: false"))
		require.NoError(t, s.AwaitAck(s.Feed("topic-1", "topic-2", "topic-3", "topic-4")))
		assert.Equal(t, []string{"topic-1", "topic-2", "topic-3", "topic-4"}, contents(t, server, "/my/topic"))
		server.CutBeforeResponse(1)
		failed := feed(s, "topic-5", "topic-6").failures(t)
		assert.Len(t, failed, 2)
		assert.Contains(t, failed["topic-5"], "connection lost before the answer came")
		assert.Contains(t, failed["topic-6"], "not sent, because an earlier message of the topic failed")
		failed = feed(s, "no-1", "topic2-1", "no-2").failures(t)
		assert.Len(t, failed, 2, "other topics do not wait")
		assert.Equal(t, []string{"topic2-1"}, contents(t, server, "/my/topic2"))
	}
}

func TestGatewayOfAUserThatRefusesTheQuestionGetsSingleCalls(t *testing.T) {
	server := startServer(t, wsxtest.WithService("connect.describe",
		func(context.Context, wsxtest.Invocation) (any, error) { return nil, errors.New("what?") }))
	s := streamtest.Start(t, publisher(server, topic))
	require.NoError(t, s.AwaitAck(s.Feed("1", "2", "3")))
	assert.Equal(t, 3, server.Invocations(publishSingle))
}

func TestMsgIDThatTheGatewayIgnoresIsWarnedAboutOnce(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, publisher(server, topic, "msg_id: '${! content() }'"))
	require.NoError(t, s.AwaitAck(s.Feed("1", "2")))
	require.NoError(t, s.AwaitAck(s.Feed("3")))
	assert.Len(t, server.Published(), 3)
	assert.Equal(t, 1, strings.Count(s.Log(), "Zato ignores msg_id"), s.Log())
}

func TestMsgIDThatTheRequiredCompanionIgnoresIsAnError(t *testing.T) {
	server := startGated(t, "publish-list")
	for fields, refused := range map[string]bool{"msg_id: '${! content() }'": true, "max_list: 50": false} {
		err := output.Connect(t.Context(), fmt.Sprintf(
			"{ connection: { address: %s, username: user1, secret: secret1, gateway: connect }, %s, %s }",
			server.URL("/my.wsx"), topic, fields))
		if !refused {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "field msg_id: the gateway does not offer publish-known: "+
			"update the companion services (zato/README.md), or remove the field")
	}
}
