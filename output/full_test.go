package output_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

const (
	smallTopic  = "/my/small"
	topicIsFull = "Zato has as many messages of this topic in memory as it may have"
)

// startSmall starts a server with the companion and a topic for three messages in memory, with
// a subscriber to which the server delivers in intervals. It returns a function that waits for
// the subscriber's next n messages.
func startSmall(t *testing.T, interval time.Duration) (*wsxtest.Server, func(n int) []string) {
	t.Helper()
	server := startCompanion(t, wsxtest.WithDeliveryInterval(interval),
		wsxtest.WithTopic(wsxtest.Topic{Name: smallTopic, MaxDepthNonGD: 3}))
	c, err := wsx.New(wsx.Config{Address: server.URL("/my.wsx.connect"), Username: "user1", Secret: "secret1"})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	_, err = c.Subscribe(t.Context(), wsx.Subscription{Topic: smallTopic})
	require.NoError(t, err)
	return server, func(n int) []string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var received []string
		for len(received) < n {
			frame, err := c.Receive(ctx)
			require.NoError(t, err)
			for _, m := range frame.Messages {
				received = append(received, string(m.Data))
			}
		}
		return received
	}
}

// often and never are intervals of delivery.
const (
	often = 20 * time.Millisecond
	never = time.Hour
)

func texts(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "message " + strconv.Itoa(i)
	}
	return out
}

func TestBatchForAFullTopicWaitsAndKeepsItsOrder(t *testing.T) {
	server, receive := startSmall(t, often)
	s := streamtest.Start(t, listPublisher(server, "topic: "+smallTopic))
	acked := s.Feed(texts(40)...)
	assert.Equal(t, texts(40), receive(40))
	require.NoError(t, s.AwaitAck(acked))
	assert.Equal(t, 1, strings.Count(s.Log(), topicIsFull), s.Log())
	assert.Contains(t, s.Log(), "topic="+smallTopic)
	s.AwaitMetric(`zato_wsx_publish_latency_ns{label="",path="root.output",result="full"}`,
		func(n float64) bool { return n > 0 })
}

func TestLoneMessagesForAFullTopicWait(t *testing.T) {
	for _, fields := range [][]string{{"max_in_flight: 1"}, {"max_in_flight: 1", "has_gd: false"}} {
		server, receive := startSmall(t, often)
		s := streamtest.Start(t, listPublisher(server, append(fields, "topic: "+smallTopic)...))
		var acks []<-chan error
		for _, text := range texts(20) {
			acks = append(acks, s.Feed(text))
		}
		assert.ElementsMatch(t, texts(20), receive(20))
		for _, acked := range acks {
			require.NoError(t, s.AwaitAck(acked))
		}
	}
}

func TestGuaranteedMessagesDoNotWaitForAFullTopic(t *testing.T) {
	server, _ := startSmall(t, never)
	s := streamtest.Start(t, listPublisher(server, "topic: "+smallTopic, "timeout: 300ms",
		`has_gd: '${! content() == "guaranteed" }'`))
	failed := feed(s, "1", "2", "3", "4", "guaranteed").failures(t)
	assert.Len(t, failed, 1)
	assert.Contains(t, failed["4"], "the topic is full")
	assert.Equal(t, []string{"1", "2", "3", "guaranteed"}, contents(t, server, smallTopic))
}

func TestMessagesForATopicThatStaysFullFailWhenTheTimeoutHasPassed(t *testing.T) {
	server, _ := startSmall(t, never)
	s := streamtest.Start(t, listPublisher(server, "topic: "+smallTopic, "timeout: 300ms"))
	failed := feed(s, "1", "2", "3", "4", "5", "6").failures(t)
	const notSent = `publishing to topic "/my/small": not sent, because an earlier message of the topic failed`
	assert.Equal(t, map[string]string{
		"4": `publishing to topic "/my/small": the topic is full: 3 of 3 messages in memory: ` +
			`raise max_depth_non_gd of the topic, or publish with has_gd: true`,
		"5": notSent, "6": notSent,
	}, failed)
	server.ClearTopic(smallTopic)
	require.NoError(t, s.AwaitAck(s.Feed("4", "5", "6")))
}

func TestOneMessageAtATimeFindsOutWhetherATopicHasRoomAgain(t *testing.T) {
	var mu sync.Mutex
	var calls []string
	rooms := []int{2, 0, 1, 1, 5, 5} // for the calls
	publish := func(_ context.Context, inv wsxtest.Invocation) (any, error) {
		var request publishRequest
		if err := json.Unmarshal(inv.Payload, &request); err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		room := rooms[len(calls)]
		var sent strings.Builder
		messages := []map[string]string{}
		for i, m := range request.Messages {
			sent.WriteString(m.Data)
			status := "published"
			if i >= room {
				status = "full"
			}
			messages = append(messages, map[string]string{"status": status, "msg_id": ""})
		}
		calls = append(calls, sent.String())
		return map[string]any{"messages": messages, "depth": 5, "max_depth": 5}, nil
	}
	server := startServer(t, wsxtest.WithService(publishList, publish),
		wsxtest.WithService("connect.describe", func(context.Context, wsxtest.Invocation) (any, error) {
			return json.RawMessage(`{"name": "zato-connect", "can": ["publish-list", "publish-depth"]}`), nil
		}))
	s := streamtest.Start(t, publisher(server, topic, "max_list: 4"))
	require.NoError(t, s.AwaitAck(s.Feed("1", "2", "3", "4", "5", "6")))
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []string{"1234", "3", "3", "456", "5", "6"}, calls)
}

func TestListsDoNotFailWhileAFullTopicHasRoomForOthers(t *testing.T) {
	server, receive := startSmall(t, often)
	s := streamtest.Start(t, listPublisher(server, "topic: "+smallTopic, "timeout: 1s"))
	// Together, the batches take longer than the timeout.
	var acks []<-chan error
	for i := range 8 {
		batch := texts(30)
		for j := range batch {
			batch[j] = fmt.Sprintf("batch %d, %s", i, batch[j])
		}
		acks = append(acks, s.Feed(batch...))
	}
	receive(8 * 30)
	for _, acked := range acks {
		require.NoError(t, s.AwaitAck(acked))
	}
}

func TestListsForATopicThatStaysFullTakeTurnsAndFailTogether(t *testing.T) {
	server, _ := startSmall(t, never)
	s := streamtest.Start(t, listPublisher(server, "topic: "+smallTopic, "timeout: 600ms", "max_list: 2"))
	require.NoError(t, s.AwaitAck(s.Feed("1", "2", "3")))
	before := server.Invocations(publishList)
	var acks []<-chan error
	began := time.Now()
	for range 20 {
		acks = append(acks, s.Feed("4", "5"))
	}
	for _, acked := range acks {
		require.ErrorContains(t, s.AwaitAck(acked), "the topic is full")
	}
	assert.Less(t, time.Since(began), 5*time.Second, "each waited for the others")
	assert.Less(t, server.Invocations(publishList)-before, 50, "each looked for room again and again")
	server.ClearTopic(smallTopic)
	require.NoError(t, s.AwaitAck(s.Feed("4", "5")))
}

func TestWaitForAFullTopicEndsWithThePipeline(t *testing.T) {
	server, _ := startSmall(t, never)
	s := streamtest.Start(t, listPublisher(server, "topic: "+smallTopic, "timeout: 10m"))
	s.Feed("1", "2", "3", "4")
	s.AwaitLog(topicIsFull)
	s.Stop(2 * time.Second)
	assert.Contains(t, s.Log(), "the topic is full: 3 of 3 messages in memory")
}
