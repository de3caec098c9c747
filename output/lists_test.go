package output_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
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

func TestListHasNoMoreMessagesThanMaxList(t *testing.T) {
	server := startCompanion(t)
	s := streamtest.Start(t, listPublisher(server, topic, "max_list: 2"))
	require.NoError(t, s.AwaitAck(s.Feed("1", "2", "3", "4", "5")))
	assert.Equal(t, []string{"1", "2", "3", "4", "5"}, contents(t, server, "/my/topic"))
	assert.Equal(t, 2, server.Invocations(publishList))
	assert.Equal(t, 1, server.Invocations(publishSingle), "a list of one is a call for one message")
}

func TestLoneMessageIsASingleCallUnlessItHasAFieldThatOnlyAListKeeps(t *testing.T) {
	for fields, service := range map[string]string{
		"":                                    publishSingle,
		"correl_id: '${! content() }'":        publishSingle,
		"msg_id: '${! content() }'":           publishList,
		"mime_type: text/csv":                 publishList,
		"ext_client_id: me":                   publishList,
		"ext_pub_time: '2026-01-02T03:04:05'": publishList,
	} {
		server := startCompanion(t)
		s := streamtest.Start(t, listPublisher(server, slices.DeleteFunc([]string{topic, fields},
			func(f string) bool { return f == "" })...))
		require.NoError(t, s.AwaitAck(s.Feed("1", "2")))
		require.NoError(t, s.AwaitAck(s.Feed("3")))
		assert.Len(t, server.Published(), 3)
		calls := map[string]int{publishList: 1}
		calls[service]++
		assert.Equal(t, calls[publishList], server.Invocations(publishList), fields)
		assert.Equal(t, calls[publishSingle], server.Invocations(publishSingle), fields)
	}
}

func TestMessageThatIsRefusedDoesNotFailItsNeighbours(t *testing.T) {
	server := startCompanion(t)
	s := streamtest.Start(t, listPublisher(server, topic,
		`priority: '${! if content() == "bad priority" { "99" } else { "5" } }'`,
		`correl_id: '${! if content() == "long" { "x".repeat(201) } else { "" } }'`,
		`msg_id: '${! if content() == "long id" { "x".repeat(201) } else { "" } }'`))
	failed := feed(s, "1", "bad priority", "2", "long", "", "long id", "3").failures(t)
	assert.Equal(t, map[string]string{
		"bad priority": `publishing to topic "/my/topic": priority: is 99: use 1 to 9, or leave it empty`,
		"long":         `publishing to topic "/my/topic": the server answered 400 bad correl_id`,
		"":             `publishing to topic "/my/topic": data: is empty, which Zato refuses to publish`,
		"long id":      `publishing to topic "/my/topic": msg_id: has 201 characters: use up to 200, such as a hash`,
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

// gatedServer has services in place of the companion's. Each call of connect.publish waits for
// an answer of the test.
type gatedServer struct {
	*wsxtest.Server

	calls chan gatedCall
}

// gatedCall is a call of connect.publish.
type gatedCall struct {
	texts  []string
	answer chan error
}

// publishRequest is the request of connect.publish.
type publishRequest struct {
	Messages []struct {
		Data  string `json:"data"`
		MsgID string `json:"msg_id"`
	} `json:"messages"`
}

func startGated(t *testing.T, can ...string) *gatedServer {
	t.Helper()
	abilities, err := json.Marshal(can)
	require.NoError(t, err)
	g := &gatedServer{calls: make(chan gatedCall)}
	describe := func(context.Context, wsxtest.Invocation) (any, error) {
		return json.RawMessage(`{"name": "zato-connect", "can": ` + string(abilities) + `}`), nil
	}
	g.Server = startServer(t, wsxtest.WithService("connect.describe", describe),
		wsxtest.WithService(publishList, g.publish))
	return g
}

func (g *gatedServer) publish(ctx context.Context, inv wsxtest.Invocation) (any, error) {
	var request publishRequest
	if err := json.Unmarshal(inv.Payload, &request); err != nil {
		return nil, err
	}
	call := gatedCall{answer: make(chan error)}
	answer := []map[string]string{}
	for _, m := range request.Messages {
		call.texts = append(call.texts, m.Data)
		answer = append(answer, map[string]string{"status": "published", "msg_id": "id"})
	}
	select {
	case g.calls <- call:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case err := <-call.answer:
		return map[string]any{"messages": answer}, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestMessagesBehindACallThatFailedAreNotSent(t *testing.T) {
	server := startGated(t, "publish-list")
	s := streamtest.Start(t, publisher(server.Server, topic, "max_list: 2"))
	batch := feed(s, "1", "2", "3", "4", "5", "6")
	(<-server.calls).answer <- nil
	(<-server.calls).answer <- errors.New("failed")
	failed := batch.failures(t)
	assert.Len(t, failed, 4)
	assert.Contains(t, failed["3"], "the server answered 500")
	assert.Equal(t, `publishing to topic "/my/topic": not sent, because an earlier message of the topic failed`,
		failed["5"])
	assert.Equal(t, failed["5"], failed["6"])
	assert.Equal(t, 2, server.Invocations(publishList))
}

func TestListThatIsTooLargeIsDivided(t *testing.T) {
	server := startGated(t, "publish-list")
	for name, refuse := range map[string]func(gatedCall){
		"answer":      func(call gatedCall) { call.answer <- &wsxtest.StatusError{Status: 413, Message: "too large"} },
		"close frame": func(gatedCall) { server.Disconnect(1009, "too large") },
	} {
		s := streamtest.Start(t, publisher(server.Server, topic, "mime_type: text/csv"))
		acked := s.Feed("1", "2", "3")
		var sizes []int
		for range 5 {
			call := <-server.calls
			sizes = append(sizes, len(call.texts))
			if len(call.texts) > 1 {
				refuse(call)
				continue
			}
			call.answer <- nil
		}
		require.NoError(t, s.AwaitAck(acked), name)
		assert.Equal(t, []int{3, 1, 2, 1, 1}, sizes, name)
	}
}

func TestListIsRepeatedAfterAnErrorIfItsMessagesHaveIDs(t *testing.T) {
	for fields, repeated := range map[string]bool{
		"msg_id: '${! content() }'":                                     true,
		`msg_id: '${! if content() == "1" { content() } else { "" } }'`: false,
		"mime_type: text/csv":                                           false,
	} {
		server := startGated(t, "publish-list", "publish-known")
		s := streamtest.Start(t, publisher(server.Server, topic, fields, "retry_lost: false"))
		acked := s.Feed("1", "2")
		(<-server.calls).answer <- errors.New("the database does not answer")
		if !repeated {
			require.ErrorContains(t, s.AwaitAck(acked), "the server answered 500", fields)
			continue
		}
		(<-server.calls).answer <- errors.New("the database does not answer")
		(<-server.calls).answer <- nil
		require.NoError(t, s.AwaitAck(acked), fields)
	}
}

func TestErrorThatRemainsIsReportedWhenTheTimeoutHasPassed(t *testing.T) {
	server := startGated(t, "publish-list", "publish-known")
	s := streamtest.Start(t, publisher(server.Server, topic, "msg_id: '${! content() }'", "timeout: 200ms"))
	acked := s.Feed("1")
	for {
		select {
		case call := <-server.calls:
			call.answer <- errors.New("the database does not answer")
		case err := <-acked:
			require.ErrorContains(t, err, "the server answered 500")
			assert.Greater(t, server.Invocations(publishList), 1)
			return
		}
	}
}

func TestMessageWithAnIDIsPublishedOnceAlthoughItsAnswerIsLost(t *testing.T) {
	server := startCompanion(t)
	s := streamtest.Start(t, listPublisher(server, topic, "has_gd: true", "msg_id: '${! content() }'",
		"retry_lost: false"))
	require.NoError(t, s.AwaitAck(s.Feed("warm")))
	server.CutBeforeResponse(2)
	require.NoError(t, s.AwaitAck(s.Feed("1")))
	server.CutBeforeResponse(1)
	require.NoError(t, s.AwaitAck(s.Feed("2", "3")))
	assert.Equal(t, []string{"warm", "1", "2", "3"}, contents(t, server, "/my/topic"))
	assert.NotContains(t, s.Log(), "level=ERROR")
}

func TestListWithoutIDsIsRepeatedOnlyWithRetryLost(t *testing.T) {
	for _, retry := range []bool{true, false} {
		server := startCompanion(t)
		s := streamtest.Start(t, listPublisher(server, topic, "retry_lost: "+strconv.FormatBool(retry)))
		require.NoError(t, s.AwaitAck(s.Feed("a", "b")))
		server.CutBeforeResponse(1)
		batch := feed(s, "c", "d")
		if retry {
			require.NoError(t, s.AwaitAck(batch.acked))
			assert.Len(t, server.Published(), 6, "c and d twice")
			continue
		}
		failed := batch.failures(t)
		assert.Len(t, failed, 2)
		assert.Contains(t, failed["d"], "connection lost before the answer came")
		assert.Len(t, server.Published(), 4)
	}
}

func TestEachMessageIsPublishedOnceWhateverAnswersAreLost(t *testing.T) {
	const writers, perWriter = 8, 50
	server := startCompanion(t)
	s := streamtest.Start(t, listPublisher(server, topic, "has_gd: true", "msg_id: '${! content() }'",
		"retry_lost: false", "max_in_flight: 8", "max_list: 20"))
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := range perWriter {
				if n%10 == w {
					server.CutBeforeResponse(1)
				}
				id := fmt.Sprintf("%d-%d", w, n)
				assert.NoError(t, s.AwaitAck(s.Feed(id+"-a", id+"-b")))
			}
		})
	}
	all.Wait()
	published := contents(t, server, "/my/topic")
	assert.Len(t, published, 2*writers*perWriter)
	slices.Sort(published)
	assert.Len(t, slices.Compact(published), 2*writers*perWriter)
	assert.Greater(t, server.SessionsOpened(), writers, "there were cuts")
}

func TestBatchThatWasNotSentIsPublishedOnceWhenThereIsAConnection(t *testing.T) {
	server := startCompanion(t)
	s := streamtest.Start(t, listPublisher(server, topic, "timeout: 100ms"))
	require.NoError(t, s.AwaitAck(s.Feed("before", "it")))
	server.Stop()
	s.AwaitLog("connection ended")
	acked := s.Feed("1", "2", "3")
	s.AwaitLog("Failed to connect")
	require.NoError(t, server.Restart())
	require.NoError(t, s.AwaitAck(acked))
	assert.Equal(t, []string{"before", "it", "1", "2", "3"}, contents(t, server, "/my/topic"))
	assert.NotContains(t, s.Log(), "Failed to send message")
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
