package processor_test

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

	"github.com/zato-connect/zato-connect/internal/testkit/otlptest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// lists is a channel whose gateway can invoke lists.
const lists = "/my.wsx.connect"

// sentList is a list that the server received.
type sentList struct {
	Service  string            `json:"service"`
	Requests []json.RawMessage `json:"requests"`
	Parallel int               `json:"parallel"`
}

// listsSent returns the lists that the server received.
func listsSent(t *testing.T, server *wsxtest.Server) []sentList {
	t.Helper()
	var out []sentList
	for _, f := range server.Frames() {
		var frame struct {
			Data struct {
				Service string          `json:"service"`
				Request json.RawMessage `json:"request"`
			} `json:"data"`
		}
		if !f.FromClient || json.Unmarshal(f.Payload, &frame) != nil || frame.Data.Service != "connect.invoke" {
			continue
		}
		var list sentList
		require.NoError(t, json.Unmarshal(frame.Data.Request, &list))
		out = append(out, list)
	}
	return out
}

// numbers returns n messages.
func numbers(n int) []string {
	var out []string
	for i := range n {
		out = append(out, strconv.Itoa(i+1))
	}
	return out
}

func TestBatchIsOneCallForEachServiceInItsOrder(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, lists,
		`service: '${! if content().number() > 4 { "fail.odd" } else { "my.echo" } }'`))
	s.Feed("2", "6", "3", "7", "4", "8")
	batch := s.Next()
	assert.Equal(t, []string{"2", "60", "3", "7", "4", "80"}, streamtest.Texts(t, batch))
	for i, msg := range batch {
		status, _ := msg.MetaGetMut("zato_status")
		id, _ := msg.MetaGet("zato_request_id")
		cid, _ := msg.MetaGet("zato_cid")
		if i != 3 {
			require.NoError(t, msg.GetError())
			assert.Equal(t, int64(200), status)
			assert.NotEmpty(t, id)
			assert.Empty(t, cid)
			continue
		}
		require.ErrorContains(t, msg.GetError(), `invoking "fail.odd": the server answered 400 odd (cid `+cid+")")
		assert.Equal(t, int64(400), status)
		assert.NotEmpty(t, cid)
	}
	var services []string
	for _, list := range listsSent(t, server)[:2] {
		services = append(services, list.Service)
		assert.Len(t, list.Requests, 3)
	}
	assert.ElementsMatch(t, []string{"my.echo", "fail.odd"}, services)
}

func TestSingleMessageIsASingleCall(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, lists, `service: '${! json("s") }'`))
	s.Feed(`{"s":"my.echo"}`)
	s.Next()
	s.Feed(`{"s":"my.echo"}`, `{"s":"fail.odd"}`)
	require.NoError(t, s.Next()[0].GetError())
	assert.Empty(t, listsSent(t, server), "one message for each service")
}

func TestListsHaveAtMostMaxListMessages(t *testing.T) {
	for maxList, longest := range map[int]int{1: 0, 4: 4} {
		server := startServer(t)
		s := streamtest.Start(t, caller(server, lists, echo, fmt.Sprintf("max_list: %d", maxList)))
		s.Feed(numbers(10)...)
		assert.Equal(t, numbers(10), streamtest.Texts(t, s.Next()))
		got := 0
		for _, list := range listsSent(t, server) {
			got = max(got, len(list.Requests))
		}
		assert.Equal(t, longest, got, "max_list: %d", maxList)
	}
}

func TestGatewayWithoutListsGetsSingleCalls(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, gateway, echo))
	for range 3 {
		s.Feed(numbers(10)...)
		assert.Equal(t, numbers(10), streamtest.Texts(t, s.Next()))
	}
	assert.Equal(t, 30, server.Invocations("my.echo"))
	assert.Zero(t, server.Invocations("connect.invoke"))
	assert.LessOrEqual(t, server.Invocations("connect.describe"), server.SessionsOpened())
}

func TestMessagesOfALostListFailUnlessRetryIsConfigured(t *testing.T) {
	for retry, runs := range map[bool]int{false: 6, true: 9} {
		server := startServer(t)
		s := streamtest.Start(t, caller(server, lists, echo, fmt.Sprintf("retry_lost: %t", retry)))
		s.Feed(numbers(3)...)
		require.NoError(t, s.Next()[0].GetError(), "the client knows what the gateway can do")
		server.CutBeforeResponse(1)
		s.Feed(numbers(3)...)
		for _, msg := range s.Next() {
			if retry {
				require.NoError(t, msg.GetError())
			} else {
				require.ErrorContains(t, msg.GetError(), `invoking "my.echo": `)
				require.ErrorContains(t, msg.GetError(), "connection lost before the answer came")
			}
		}
		assert.Equal(t, runs, server.Invocations("my.echo"))
	}
}

func TestMessagesForASlowServiceAreSpreadOverTheConnections(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, lists, "service: my.sleep"))
	var batch []string
	for range 8 {
		batch = append(batch, `{"seconds":0.2}`)
	}
	s.Feed(batch...)
	for _, msg := range s.Next() {
		require.NoError(t, msg.GetError())
	}
	assert.Equal(t, 8, server.Invocations("my.sleep"), "what was not run is sent again, and nothing else")
	sent := listsSent(t, server)
	assert.Len(t, sent[0].Requests, 8, "the speed of the service is not known")
	assert.Len(t, sent[1].Requests, 1, "this one tells the speed")
	assert.Len(t, sent, 2, "the others are single calls")
	assert.Greater(t, server.SessionsOpened(), 1)
}

func TestMessageThatHangsFailsAlone(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, lists, "service: my.sleep", "timeout: 300ms"))
	s.Feed(`{"seconds":0}`, `{"seconds":5}`, `{"seconds":0}`)
	start := time.Now()
	batch := s.Next()
	require.NoError(t, batch[0].GetError())
	require.ErrorIs(t, batch[1].GetError(), wsx.ErrNotFinished)
	require.ErrorContains(t, batch[1].GetError(), `invoking "my.sleep": the service still ran when`)
	require.NoError(t, batch[2].GetError(), "it was not run, and is sent again")
	assert.Less(t, time.Since(start), 3*time.Second)
	assert.Equal(t, 3, server.Invocations("my.sleep"))
}

// gauge is a service that counts how often it runs at once.
type gauge struct {
	mu           sync.Mutex
	running, max int
}

func (g *gauge) service(context.Context, wsxtest.Invocation) (any, error) {
	g.change(1)
	defer g.change(-1)
	time.Sleep(20 * time.Millisecond) //nolint:forbidigo // a service that takes long
	return nil, nil                   //nolint:nilnil // a service may return nothing
}

func (g *gauge) change(by int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running += by
	g.max = max(g.max, g.running)
}

func TestServerRunsAListInParallelIfConfigured(t *testing.T) {
	for parallel, expected := range map[int]int{1: 1, 3: 3} {
		g := &gauge{}
		server := startServer(t, wsxtest.WithService("gauge", g.service))
		s := streamtest.Start(t, caller(server, lists, "service: gauge", "max_in_flight: 1",
			fmt.Sprintf("parallel: %d", parallel)))
		for range 2 {
			s.Feed(numbers(9)...)
			for _, msg := range s.Next() {
				require.NoError(t, msg.GetError())
			}
		}
		assert.Equal(t, expected, g.max, "parallel: %d", parallel)
		assert.Equal(t, 18, server.Invocations("gauge"))
	}
}

func TestLargeMessagesAreSplitOverSeveralLists(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, lists, echo))
	var batch []string
	for i := range 5 {
		batch = append(batch, strings.Repeat(strconv.Itoa(i), 400_000))
	}
	s.Feed(batch...)
	assert.Equal(t, batch, streamtest.Texts(t, s.Next()))
	assert.Equal(t, 5, server.Invocations("my.echo"))
}

func TestMessageThatCannotBeSentFailsNoOther(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, lists, echo))
	s.Feed("1", "\xff", "3")
	batch := s.Next()
	require.NoError(t, batch[0].GetError())
	require.ErrorContains(t, batch[1].GetError(), `invoking "my.echo": request: is not valid UTF-8`)
	require.NoError(t, batch[2].GetError())
}

func TestRateLimitCountsTheMessagesOfLists(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, caller(server, lists, echo, "rate_limit: slow"))
	start := time.Now()
	s.Feed(numbers(4)...)
	assert.Equal(t, numbers(4), streamtest.Texts(t, s.Next()))
	assert.GreaterOrEqual(t, time.Since(start), 300*time.Millisecond)
	assert.Equal(t, 4, server.Invocations("my.echo"))

	s = streamtest.Start(t, caller(server, lists, echo, "rate_limit: slow", "timeout: 50ms"))
	s.Feed(numbers(3)...)
	failed := 0
	for _, msg := range s.Next() {
		if msg.GetError() != nil {
			require.ErrorContains(t, msg.GetError(), `rate limit "slow"`)
			failed++
		}
	}
	assert.Positive(t, failed)
}

func TestListsWaitForAConnectionUntilTheTimeout(t *testing.T) {
	server := startServer(t)
	server.Stop()
	s := streamtest.Start(t, caller(server, lists, echo, "timeout: 200ms"))
	s.Feed(numbers(3)...)
	for _, msg := range s.Next() {
		require.ErrorContains(t, msg.GetError(), `invoking "my.echo": not connected`)
	}
}

func TestEachMessageOfAListHasASpan(t *testing.T) {
	server, collector := startServer(t), otlptest.Start(t)
	s := streamtest.Start(t, caller(server, lists, "service: fail.odd")+collector.TracerYAML())
	acked := s.Feed("1", "2", "4")
	batch := s.Next()
	require.NoError(t, s.AwaitAck(acked))
	s.Stop(streamtest.Timeout)
	require.NotEmpty(t, listsSent(t, server))
	id, _ := batch[1].MetaGet("zato_request_id")
	failed := 0
	for _, span := range collector.SpansNamed("invoke fail.odd", 3) {
		if span.Failed {
			failed++
			assert.Equal(t, "400", span.Attributes["error.type"])
			continue
		}
		assert.Equal(t, id, span.Attributes["messaging.message.id"])
	}
	assert.Equal(t, 1, failed)
}

func TestBranchInvokesWithLists(t *testing.T) {
	server := startServer(t)
	yaml := caller(server, lists, echo)
	s := streamtest.Start(t, strings.Replace(yaml, "    - zato_wsx:",
		"    - branch:\n        request_map: 'root = this.n'\n        result_map: 'root.got = this'\n        processors:\n"+
			"        - zato_wsx:", 1))
	s.Feed(`{"n":1}`, `{"n":2}`, `{"n":3}`)
	assert.Equal(t, []string{`{"got":1,"n":1}`, `{"got":2,"n":2}`, `{"got":3,"n":3}`}, streamtest.Texts(t, s.Next()))
	assert.Len(t, listsSent(t, server)[0].Requests, 3)
}
