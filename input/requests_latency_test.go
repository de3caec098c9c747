package input_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/race"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// rawFrame is a frame of rawLoop.
type rawFrame struct {
	Meta struct {
		Action    string `json:"action,omitempty"`
		ID        string `json:"id"`
		Timestamp string `json:"timestamp"`
		Token     string `json:"token,omitempty"`
		ClientID  string `json:"client_id,omitempty"`
		Username  string `json:"username,omitempty"`
		Secret    string `json:"secret,omitempty"`
		InReplyTo string `json:"in_reply_to,omitempty"`
	} `json:"meta"`
	Data json.RawMessage `json:"data,omitempty"`
}

// rawLoop answers requests with only a WebSocket library. It has as many workers as the pipeline has threads, and each
// does the same work.
func rawLoop(t *testing.T, server *wsxtest.Server, clientID string, workers int, work func()) {
	t.Helper()
	conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), server.URL(patched), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	var writeMu sync.Mutex
	write := func(f rawFrame, action, id string) error {
		f.Meta.Action, f.Meta.ID, f.Meta.ClientID = action, id, clientID
		f.Meta.Timestamp = time.Now().UTC().Format("2006-01-02T15:04:05.000000")
		writeMu.Lock()
		defer writeMu.Unlock()
		return conn.WriteJSON(f)
	}
	var login, session rawFrame
	login.Meta.Username, login.Meta.Secret = "user1", "secret1"
	require.NoError(t, write(login, "create-session", "login"))
	require.NoError(t, conn.ReadJSON(&session))
	var token struct {
		Token string `json:"token"`
	}
	require.NoError(t, json.Unmarshal(session.Data, &token))

	requests := make(chan rawFrame)
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for r := range requests {
				work()
				answer := rawFrame{Data: fmt.Appendf(nil, `{"response":%s}`, r.Data)}
				answer.Meta.Token, answer.Meta.InReplyTo = token.Token, r.Meta.ID
				assert.NoError(t, write(answer, "client-response", "answer to "+r.Meta.ID))
			}
		})
	}
	running.Go(func() {
		defer close(requests)
		for {
			var r rawFrame
			if conn.ReadJSON(&r) != nil {
				return
			}
			requests <- r
		}
	})
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		running.Wait()
	})
}

// p99 sends a thousand requests at once, checks that each gets its own answer, and returns the 99th percentile of their
// latency.
func p99(t *testing.T, server *wsxtest.Server, clientID string) time.Duration {
	t.Helper()
	const n = 1000
	latencies := make([]time.Duration, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			start := time.Now()
			answer, err := server.Request(t.Context(), clientID, map[string]int{"n": i + 1}, streamtest.Timeout)
			latencies[i] = time.Since(start)
			if err != nil {
				t.Error(err)
			}
			assert.JSONEq(t, fmt.Sprintf(`{"n": %d}`, i+1), string(answer))
		})
	}
	all.Wait()
	slices.Sort(latencies)
	return latencies[n*99/100-1]
}

func TestConcurrentRequestsGetTheirOwnAnswersQuickly(t *testing.T) {
	const workers = 64
	server := startServer(t)
	processors := "{ sleep: { duration: 5ms } }, { " + respond + " }"
	streamtest.Start(t, strings.Replace(answerPipeline(server, processors, "timeout: 20s"), "collect: {}", "drop: {}", 1))
	rawLoop(t, server, "raw", workers, func() { <-time.After(5 * time.Millisecond) })
	request(t, server, 1) // the client is connected

	var ratios []float64
	for range 5 {
		raw := p99(t, server, "raw")
		pipeline := p99(t, server, "answerer")
		ratios = append(ratios, float64(pipeline)/float64(raw))
		t.Logf("99th percentile: raw %v, pipeline %v", raw, pipeline)
	}
	slices.Sort(ratios)
	if race.Enabled {
		return
	}
	assert.Less(t, ratios[len(ratios)/2], 2.0, "%v", ratios)
}
