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
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

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

// next returns the next call.
func (g *gatedServer) next(t *testing.T) gatedCall {
	t.Helper()
	select {
	case call := <-g.calls:
		return call
	case <-time.After(streamtest.Timeout):
		require.Fail(t, "no further call")
		return gatedCall{}
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

func TestMessageThatIsTooLargeFailsAlone(t *testing.T) {
	server := startGated(t, "publish-list")
	for name, c := range map[string]struct {
		refuse    func(gatedCall)
		retryLost bool
		expected  []string // the texts of the calls
	}{
		"answer": {
			func(call gatedCall) { call.answer <- &wsxtest.StatusError{Status: 413, Message: "too large"} }, true,
			[]string{"1 2 3", "1", "2 3", "2", "3"},
		},
		"close frame without retries": {
			func(gatedCall) { server.Disconnect(1009, "too large") }, false,
			[]string{"1 2 3", "1", "2 3", "2", "3"},
		},
		"close frame": {
			func(gatedCall) { server.Disconnect(1009, "too large") }, true,
			// It may have been about another call, so the message is sent once more.
			[]string{"1 2 3", "1", "2 3", "2", "2", "3"},
		},
	} {
		s := streamtest.Start(t, publisher(server.Server, topic, "mime_type: text/csv",
			fmt.Sprintf("retry_lost: %t", c.retryLost)))
		batch := feed(s, "1", "2", "3")
		var calls []string
		for range c.expected {
			call := server.next(t)
			calls = append(calls, strings.Join(call.texts, " "))
			if slices.Contains(call.texts, "2") {
				c.refuse(call)
				continue
			}
			call.answer <- nil
		}
		failed := batch.failures(t)
		assert.Len(t, failed, 1, name)
		assert.Contains(t, failed, "2", name)
		assert.Equal(t, c.expected, calls, name)
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
