package wsx_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

var sleepRequest = map[string]any{"seconds": 10}

func TestInvokeUnwrapsTheAnswer(t *testing.T) {
	for path, service := range map[string]string{
		patchedPath: "my.echo", stockPath: "my.echo", "/old": "my.echo", singleServicePath: "",
	} {
		withServer(t, func(s *testServer) {
			t := s.t
			c := s.connect(path, func(cfg *wsx.Config) {
				if path == singleServicePath {
					cfg.Username, cfg.Secret = "", ""
				}
			})
			const request = `{"response":{"zato_gateway_response":1},"big":12345678901234567890,"f":1.10}`
			answer, err := c.Invoke(t.Context(), service, json.RawMessage(request))
			require.NoError(t, err)
			withoutSpaces := strings.Join(strings.Fields(string(answer)), "")
			// JSONEq would compare the numbers as float64. The slices keep the linter from suggesting it.
			assert.Equal(t, []string{request}, []string{withoutSpaces}, path)
		}, wsxtest.WithChannel(wsxtest.Channel{
			Path: "/old", Username: "user1", Secret: "secret1", Gateway: wsxtest.NoWrapper,
		}))
	}
}

func TestAnswersThatPythonTakesForFalseAreEmpty(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		resp, err := s.connect(patchedPath).Call(t.Context(), wsx.Call{Service: "my.nothing", Request: []int{1}})
		require.NoError(t, err)
		assert.JSONEq(t, `""`, string(resp.Data))
		content, err := resp.Content()
		require.NoError(t, err)
		assert.Empty(t, content)
		assert.Equal(t, 200, resp.Status)

		resp, err = s.connect(singleServicePath, func(cfg *wsx.Config) { cfg.Username, cfg.Secret = "", "" }).
			Call(t.Context(), wsx.Call{Request: 0})
		require.NoError(t, err)
		assert.Empty(t, resp.Data)
	})
}

func TestFailedServiceReturnsAServerError(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		for service, expected := range map[string]wsx.ServerError{
			"my.fail":    {Status: 500, Text: "Internal server error"},
			"my.no-such": {Status: 403, Text: "You are not allowed to access this resource"},
		} {
			_, err := c.Invoke(t.Context(), service, []int{1})
			var refused *wsx.ServerError
			require.ErrorAs(t, err, &refused)
			assert.NotEmpty(t, refused.CID)
			require.ErrorContains(t, err, service)
			require.ErrorContains(t, err, refused.CID)
			refused.CID = ""
			assert.Equal(t, expected, *refused)
			assert.Equal(t, wsx.WasSent, wsx.SendStatusOf(err))
		}
	})
}

func TestInvalidRequestIsNotSentAndNamesTheField(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		for _, request := range []any{"\xff", func() {}, json.RawMessage("\"\xff\""), json.RawMessage("{")} {
			_, err := c.Invoke(t.Context(), "my.echo", request)
			require.ErrorIs(t, err, wsx.ErrInvalid)
			require.ErrorContains(t, err, `invoking "my.echo"`)
			assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		}
		assert.Zero(t, s.Invocations("my.echo"))
		_, err := c.Invoke(t.Context(), "zato.ping", nil)
		require.NoError(t, err, "the slot was released")
	})
}

func TestConnectionOutlivesTheContextOfACall(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		start := time.Now()
		_, err := c.Invoke(withTimeout(t, time.Second), "my.sleep", sleepRequest)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, wsx.MaybeSent, wsx.SendStatusOf(err))
		assert.Equal(t, 1, c.Pending(), "the server has not answered yet")

		_, err = c.Invoke(withTimeout(t, time.Second), "zato.ping", nil)
		require.ErrorContains(t, err, "no connection was free")
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))

		_, err = c.Invoke(withTimeout(t, time.Minute), "zato.ping", nil)
		require.NoError(t, err, "after the slow service has answered")
		assert.Zero(t, c.Pending())
		assert.Equal(t, 1, s.SessionsOpened())
	})
}

func TestCallWithoutDeadlineEndsAfterTheCallTimeout(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		s.DropResponses(1)
		start := time.Now()
		_, err := s.connect(patchedPath).Invoke(context.Background(), "zato.ping", nil)
		require.ErrorContains(t, err, "nothing within 30s")
		assert.Equal(t, 30*time.Second, time.Since(start))
		assert.Equal(t, wsx.MaybeSent, wsx.SendStatusOf(err))
	})
}

func TestConnectionWithAStalledCallIsReplaced(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		s.DropResponses(1)
		c := s.connect(patchedPath)
		_, err := c.Invoke(withTimeout(t, time.Second), "zato.ping", nil)
		require.Error(t, err)
		_, err = c.Invoke(withTimeout(t, 5*time.Minute), "zato.ping", nil)
		require.NoError(t, err)
		assert.Equal(t, 2, s.SessionsOpened())
	})
}

func TestPendingCallFailsAtOnceWhenTheConnectionEnds(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		failed := make(chan error, 1)
		go func() {
			_, err := c.Invoke(t.Context(), "my.sleep", sleepRequest)
			failed <- err
		}()
		advance(2 * time.Second)
		start := time.Now()
		s.Cut()
		err := <-failed
		assert.Zero(t, time.Since(start))
		require.ErrorIs(t, err, wsx.ErrConnectionLost)
		assert.Equal(t, wsx.MaybeSent, wsx.SendStatusOf(err))
		require.ErrorContains(t, err, "my.sleep")
	})
}

func TestSendStatusDistinguishesALostAnswerFromAnUnsentCall(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		advance(2 * time.Second)
		s.CutBeforeResponse(1)
		_, err := c.Invoke(t.Context(), "my.echo", []int{1})
		require.ErrorIs(t, err, wsx.ErrConnectionLost)
		assert.Equal(t, wsx.MaybeSent, wsx.SendStatusOf(err))
		assert.Equal(t, 1, s.Invocations("my.echo"))

		s.Stop()
		_, err = c.Invoke(withTimeout(t, time.Second), "my.echo", []int{1})
		require.ErrorIs(t, err, wsx.ErrNotConnected)
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
	})
}

func TestUnsentCallGoesOutOnTheNextConnection(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath, func(cfg *wsx.Config) { cfg.MaxBackOff = 10 * time.Second })
		s.Stop()
		synctest.Wait()
		done := make(chan error, 1)
		go func() {
			_, err := c.Invoke(t.Context(), "my.echo", []int{1})
			done <- err
		}()
		advance(5 * time.Second)
		require.NoError(t, s.Restart())
		require.NoError(t, <-done)
		assert.Equal(t, 1, s.Invocations("my.echo"))
	})
}

func TestCallThatWaitsForASlotGoesOutOnTheNextConnection(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath)
		advance(2 * time.Second)
		slow, quick := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := c.Invoke(t.Context(), "my.sleep", sleepRequest)
			slow <- err
		}()
		synctest.Wait()
		go func() {
			_, err := c.Invoke(t.Context(), "my.echo", []int{1})
			quick <- err
		}()
		synctest.Wait()
		assert.Equal(t, 2, c.Pending())
		s.Cut()
		require.ErrorIs(t, <-slow, wsx.ErrConnectionLost)
		require.NoError(t, <-quick)
	})
}

func TestCallThatIsRefusedBecauseTheTokenExpiredIsSentAgain(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect("/short")
		advance(5 * time.Second) // the token expires after four
		_, err := c.Invoke(t.Context(), "my.echo", []int{1})
		require.NoError(t, err)
		assert.Equal(t, 2, s.SessionsOpened())
		assert.Equal(t, 1, s.Invocations("my.echo"), "only the repeated call ran")
	}, wsxtest.WithChannel(wsxtest.Channel{
		Path: "/short", Username: "user1", Secret: "secret1", TokenTTL: 4 * time.Second, PingInterval: time.Hour,
	}))
}

func TestMessageIDOfACallIsUsedAndMustBeUnique(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath, func(cfg *wsx.Config) { cfg.CallsPerConnection = 2 })
		first := make(chan error, 1)
		go func() {
			resp, err := c.Call(t.Context(), wsx.Call{Service: "my.sleep", Request: sleepRequest, MessageID: "mine"})
			assert.Equal(t, "mine", resp.MessageID)
			first <- err
		}()
		synctest.Wait()
		_, err := c.Call(t.Context(), wsx.Call{Service: "my.echo", MessageID: "mine"})
		require.ErrorIs(t, err, wsx.ErrInvalid)
		require.NoError(t, <-first)
		_, err = c.Call(t.Context(), wsx.Call{Service: "my.echo", Request: 1, MessageID: "mine"})
		require.NoError(t, err, "the id is free again")
	})
}

func TestLargeRequestIsEchoed(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		text := strings.Repeat("0123456789", 200_000)
		answer, err := s.connect(patchedPath).Invoke(t.Context(), "my.echo", text)
		require.NoError(t, err)
		assert.Len(t, answer, len(text)+2)
	})
}

func TestManyCallsShareOneConnection(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		c := s.connect(patchedPath, func(cfg *wsx.Config) { cfg.CallsPerConnection = 8 })
		done := make(chan struct{})
		for i := range 200 {
			go func() {
				answer, err := c.Invoke(t.Context(), "my.echo", []int{i})
				assert.NoError(t, err)
				var got []int
				assert.NoError(t, json.Unmarshal(answer, &got))
				assert.Equal(t, []int{i}, got)
				done <- struct{}{}
			}()
		}
		for range 200 {
			<-done
		}
		assert.Equal(t, 1, s.SessionsOpened())
	})
}
