package wsx_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestFetchWaitsLongerThanTheServer(t *testing.T) {
	waiting := func(_ context.Context, inv wsxtest.Invocation) (any, error) {
		var request struct {
			Wait float64 `json:"wait"`
		}
		if err := json.Unmarshal(inv.Payload, &request); err != nil {
			return nil, err
		}
		advance(time.Duration(request.Wait * float64(time.Second)))
		return json.RawMessage(`{"messages": [], "confirmed": 0}`), nil
	}
	withServer(t, func(s *testServer) {
		client := s.newClient(patchedPath, func(cfg *wsx.Config) { cfg.CallTimeout = 5 * time.Second })
		start := time.Now()
		_, err := client.Fetch(s.t.Context(), wsx.Queue{Topic: "/t", Key: "k"}, wsx.FetchRequest{Wait: 20 * time.Second})
		require.NoError(t, err)
		assert.Equal(t, 20*time.Second, time.Since(start).Round(time.Second))
	}, wsxtest.WithService("connect.fetch", waiting))
}

func TestFetchWithoutAnAnswerFailsAfterTheCallTimeoutAndItsWait(t *testing.T) {
	withCompanion(t, func(_ *companion, s *testServer, client *wsx.Client) {
		require.NoError(t, client.AwaitReady(s.t.Context()))
		s.DropResponses(1)
		start := time.Now()
		_, err := client.Fetch(s.t.Context(), wsx.Queue{Topic: "/t", Key: "k"}, wsx.FetchRequest{Wait: 20 * time.Second})
		require.ErrorContains(t, err, `fetching from topic "/t": waiting for the answer: nothing within 50s`)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 50*time.Second, time.Since(start))
		_, err = client.Fetch(s.t.Context(), wsx.Queue{Topic: "/t", Key: "k"}, wsx.FetchRequest{})
		require.NoError(t, err)
		assert.Less(t, time.Since(start), 51*time.Second, "its connection was replaced at once")
	})
}

func TestFetchThatIsGivenUpReturnsWhatTheServerHandsOutMeanwhile(t *testing.T) {
	var giveUp func()
	handOut := func(context.Context, wsxtest.Invocation) (any, error) {
		giveUp()
		advance(100 * time.Millisecond)
		return json.RawMessage(`{"messages": [{"msg_id": "m", "data": "x"}], "confirmed": 0}`), nil
	}
	withServer(t, func(s *testServer) {
		client := s.newClient(patchedPath)
		ctx, cancel := context.WithCancel(s.t.Context())
		defer cancel()
		giveUp = cancel
		got, err := client.Fetch(ctx, wsx.Queue{Topic: "/t", Key: "k"}, wsx.FetchRequest{Max: 1, Wait: 20 * time.Second})
		require.NoError(t, err)
		assert.Len(t, got.Messages, 1)
		assert.True(t, client.Connected())
		assert.EqualValues(t, 1, client.Stats().Sessions)
	}, wsxtest.WithService("connect.fetch", handOut))
}

func TestFetchThatIsGivenUpEndsTheWaitOfTheServerAndKeepsTheConnection(t *testing.T) {
	withConnect(t, func(s *testServer) {
		client := s.newClient(connectPath)
		q, err := client.SubscribeNamed(s.t.Context(), wsx.NamedSubscription{Topic: topic, Name: "n"})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(s.t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		got, err := client.Fetch(ctx, q, wsx.FetchRequest{Max: 1, Wait: 20 * time.Second})
		require.NoError(t, err)
		assert.Empty(t, got.Messages)
		assert.Equal(t, time.Second, time.Since(start))
		_, err = client.Fetch(s.t.Context(), q, wsx.FetchRequest{Release: true})
		require.NoError(t, err)
		assert.EqualValues(t, 1, client.Stats().Sessions)
	})
}

func TestFetchThatIsGivenUpHangsUpIfTheServerDoesNotAnswer(t *testing.T) {
	handOut := func(context.Context, wsxtest.Invocation) (any, error) {
		advance(10 * time.Second)
		return json.RawMessage(`{"messages": [], "confirmed": 0}`), nil
	}
	withServer(t, func(s *testServer) {
		client := s.newClient(patchedPath)
		require.NoError(t, client.AwaitReady(s.t.Context()))
		ctx, cancel := context.WithCancel(s.t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		_, err := client.Fetch(ctx, wsx.Queue{Topic: "/t", Key: "k"}, wsx.FetchRequest{Wait: 20 * time.Second})
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 2*time.Second, time.Since(start))
		assert.False(t, client.Connected(), "the server hands out nothing more to this connection")
		require.NoError(t, client.AwaitReady(s.t.Context()))
	}, wsxtest.WithService("connect.fetch", handOut))
}

func TestCloseDoesNotWaitForAServerThatDidNotAnswerAFetch(t *testing.T) {
	withServer(t, func(s *testServer) {
		client := s.newClient(patchedPath)
		require.NoError(t, client.AwaitReady(s.t.Context()))
		s.Freeze(time.Hour)
		start := time.Now()
		_, err := client.Fetch(withTimeout(s.t, time.Second), wsx.Queue{Topic: "/t", Key: "k"}, wsx.FetchRequest{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, client.Close())
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestFetchThatIsGivenUpLeavesTheConnectionToOtherCalls(t *testing.T) {
	started := make(chan struct{}, 1)
	slow := func(context.Context, wsxtest.Invocation) (any, error) {
		started <- struct{}{}
		advance(2 * time.Second)
		return json.RawMessage(`{"messages": [], "confirmed": 0}`), nil
	}
	withServer(t, func(s *testServer) {
		client := s.newClient(patchedPath, func(cfg *wsx.Config) { cfg.CallsPerConnection = 2 })
		ctx, cancel := context.WithCancel(s.t.Context())
		defer cancel()
		answered := make(chan error, 1)
		go func() {
			<-started
			_, err := client.Invoke(s.t.Context(), "zato.ping", nil)
			answered <- err
		}()
		time.AfterFunc(time.Second, cancel)
		_, err := client.Fetch(ctx, wsx.Queue{Topic: "/t", Key: "k"}, wsx.FetchRequest{Wait: 20 * time.Second})
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, <-answered)
		assert.EqualValues(t, 1, client.Stats().Sessions)
	}, wsxtest.WithService("connect.fetch", slow))
}

func TestFetchWaitsNoLongerThanTheConnectionMayBeSilent(t *testing.T) {
	withCompanion(t, func(c *companion, s *testServer, _ *wsx.Client) {
		client := s.newClient(patchedPath, func(cfg *wsx.Config) { cfg.PingInterval = time.Second })
		_, err := client.Fetch(s.t.Context(), wsx.Queue{Topic: "/t", Key: "k"}, wsx.FetchRequest{Wait: 20 * time.Second})
		require.NoError(t, err)
		assert.Equal(t, []string{`{"sub_key":"k","max":0,"max_bytes":25165824,"wait":8.5}`}, c.requests["connect.fetch"])
	})
}
