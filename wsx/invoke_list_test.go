package wsx_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// connectPath is the path of a channel that is mounted on the companion services.
const connectPath = "/my.wsx.connect"

// connectChannel returns that channel.
func connectChannel() wsxtest.Channel {
	return wsxtest.Channel{Path: connectPath, Username: "user1", Secret: "secret1", Gateway: wsxtest.Connect}
}

// withConnect runs a test with a server that has that channel, unless an option replaces it.
func withConnect(t *testing.T, test func(*testServer), opts ...wsxtest.Option) {
	t.Helper()
	withServer(t, test, append([]wsxtest.Option{wsxtest.WithChannel(connectChannel())}, opts...)...)
}

// outcome returns a short text for the result of a request.
func outcome(r wsx.ListResult) string {
	var server *wsx.ServerError
	switch {
	case r.Err == nil:
		return string(r.Response.Data)
	case errors.Is(r.Err, wsx.ErrNotRun):
		return "not run, " + wsx.SendStatusOf(r.Err).String()
	case errors.Is(r.Err, wsx.ErrNotFinished):
		return "not finished, " + wsx.SendStatusOf(r.Err).String()
	case errors.As(r.Err, &server):
		return server.Text
	}
	return r.Err.Error()
}

func outcomes(list wsx.ListResponse) []string {
	var out []string
	for _, r := range list.Results {
		out = append(out, outcome(r))
	}
	return out
}

func repeatRequest(request any, n int) []any {
	var out []any
	for range n {
		out = append(out, request)
	}
	return out
}

func TestEachRequestOfAListHasItsResult(t *testing.T) {
	withConnect(t, func(s *testServer) {
		t := s.t
		c := s.connect(connectPath)
		list, err := c.InvokeList(t.Context(), wsx.ListCall{Service: "my.echo", Requests: []any{
			json.RawMessage(`{"a":1.10}`), "text", "\xff", 12, nil, wsx.JSONOrText([]byte(`[1,2]`)),
		}})
		require.NoError(t, err)
		texts := outcomes(list)
		assert.JSONEq(t, `{"a":1.10}`, texts[0])
		assert.Equal(t, []string{`"text"`, `invoking "my.echo": request: is not valid UTF-8`, `12`, `""`}, texts[1:5])
		assert.JSONEq(t, `[1,2]`, texts[5])
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(list.Results[2].Err))
		assert.Equal(t, http.StatusOK, list.Results[0].Response.Status)
		assert.NotEmpty(t, list.Results[0].Response.MessageID)
		assert.Equal(t, 5, s.Invocations("my.echo"))

		list, err = c.InvokeList(t.Context(), wsx.ListCall{Service: "my.fail", Requests: []any{1}})
		require.NoError(t, err)
		require.ErrorContains(t, list.Results[0].Err, `invoking "my.fail": the server answered 500 Exception: `)
		require.ErrorContains(t, list.Results[0].Err, "(cid ")
		list, err = c.InvokeList(t.Context(), wsx.ListCall{Service: "my.no-such", Requests: []any{1}})
		require.NoError(t, err)
		require.ErrorContains(t, list.Results[0].Err, `the server answered 403 not allowed`)

		list, err = c.InvokeList(t.Context(), wsx.ListCall{Service: "my.echo"})
		require.NoError(t, err)
		assert.Empty(t, list.Results)
	})
}

func TestListSaysWhatWasNotRunAndWhatDidNotFinish(t *testing.T) {
	second := map[string]float64{"seconds": 1}
	const done, notRun, notFinished = `{"seconds":1}`, "not run, not sent", "not finished, maybe sent"
	for name, test := range map[string]struct {
		call     wsx.ListCall
		expected []string
		took     time.Duration
	}{
		"begins none late": {
			wsx.ListCall{Requests: repeatRequest(second, 4), StartWithin: 2 * time.Second},
			[]string{done, done, notRun, notRun},
			2 * time.Second,
		},
		"lets what runs finish": {
			wsx.ListCall{Requests: repeatRequest(second, 3), StartWithin: time.Millisecond, Parallel: 2},
			[]string{done, done, notRun},
			time.Second,
		},
		"does not wait for what hangs": {
			wsx.ListCall{
				Requests:    []any{second, map[string]float64{"seconds": 30}, second},
				StartWithin: 5 * time.Second,
			},
			[]string{done, notFinished, notRun},
			9 * time.Second,
		},
	} {
		withConnect(t, func(s *testServer) {
			t := s.t
			c := s.connect(connectPath)
			start := time.Now()
			test.call.Service, test.call.Deadline = "my.sleep", start.Add(10*time.Second)
			list, err := c.InvokeList(t.Context(), test.call)
			require.NoError(t, err)
			var got []string
			for _, text := range outcomes(list) {
				got = append(got, strings.Join(strings.Fields(text), ""))
			}
			var expected []string
			for _, text := range test.expected {
				expected = append(expected, strings.Join(strings.Fields(text), ""))
			}
			assert.Equal(t, expected, got, name)
			assert.Equal(t, test.took, time.Since(start), name)
			if test.call.StartWithin > 0 {
				assert.Equal(t, test.took, list.Duration, name)
			}
		})
	}
}

func TestListIsAnsweredBeforeItsDeadline(t *testing.T) {
	withConnect(t, func(s *testServer) {
		t := s.t
		c := s.connect(connectPath)
		requests := []any{map[string]float64{"seconds": 1}, map[string]float64{"seconds": 15}}
		list, err := c.InvokeList(t.Context(), wsx.ListCall{
			Service: "my.sleep", Requests: requests, Parallel: 2, Deadline: time.Now().Add(10 * time.Second),
		})
		require.NoError(t, err, "what has finished is not lost with the rest")
		require.NoError(t, list.Results[0].Err)
		require.ErrorIs(t, list.Results[1].Err, wsx.ErrNotFinished)
	})
}

func TestListIsNoLongerThanTheServerAndAFrameAllow(t *testing.T) {
	withConnect(t, func(s *testServer) {
		t := s.t
		half := strings.Repeat("x", 500_000)
		c := s.connect(connectPath)
		list, err := c.InvokeList(t.Context(), wsx.ListCall{Service: "my.echo", Requests: []any{half, half, half, "short"}})
		require.NoError(t, err)
		assert.Equal(t, []string{`"` + half + `"`, `"` + half + `"`, "not run, not sent", `"short"`}, outcomes(list))

		large := strings.Repeat("x", 3_000_000)
		list, err = c.InvokeList(t.Context(), wsx.ListCall{Service: "my.echo", Requests: []any{large, 2, 3}})
		require.NoError(t, err)
		assert.Equal(t, []string{`"` + large + `"`, "not run, not sent", "not run, not sent"}, outcomes(list))
	})
	limited := connectChannel()
	limited.Description = json.RawMessage(`{"name":"zato-connect","can":["invoke-list"],"limits":{"invoke_requests":2}}`)
	withConnect(t, func(s *testServer) {
		t := s.t
		list, err := s.connect(connectPath).InvokeList(t.Context(), wsx.ListCall{
			Service: "my.echo", Requests: []any{1, "\xff", 2, 3},
		})
		require.NoError(t, err)
		assert.Equal(t, []string{"1", `invoking "my.echo": request: is not valid UTF-8`, "2", "not run, not sent"},
			outcomes(list))
	}, wsxtest.WithChannel(limited))
}

func TestAnswerToAListIsNoLargerThanAFrameMayBe(t *testing.T) {
	withConnect(t, func(s *testServer) {
		t := s.t
		c := s.connect(connectPath, func(cfg *wsx.Config) { cfg.MaxMessageSize = 8000 })
		texts := repeatRequest(strings.Repeat("x", 1000), 9)
		list, err := c.InvokeList(t.Context(), wsx.ListCall{Service: "my.echo", Requests: texts})
		require.NoError(t, err)
		const notRun = "not run, not sent"
		assert.Equal(t, []string{notRun, notRun, notRun, notRun, notRun}, outcomes(list)[4:])
		assert.Equal(t, 4, s.Invocations("my.echo"), "with four of them, 6,000 bytes are used up")
		texts = []any{strings.Repeat("x", 6000), "short"}
		list, err = c.InvokeList(t.Context(), wsx.ListCall{Service: "my.echo", Requests: texts})
		require.NoError(t, err)
		assert.Equal(t, []string{
			"The service has run. Its response has 6202 bytes, more than max_bytes", `"short"`,
		}, outcomes(list))
		assert.EqualValues(t, 1, c.Stats().Sessions)
	})
}

func TestListWhoseAnswerIsLostMayHaveRun(t *testing.T) {
	withConnect(t, func(s *testServer) {
		t := s.t
		c := s.connect(connectPath)
		_, err := c.Describe(t.Context())
		require.NoError(t, err)
		s.CutBeforeResponse(1)
		_, err = c.InvokeList(t.Context(), wsx.ListCall{Service: "my.echo", Requests: []any{1, 2}})
		require.ErrorIs(t, err, wsx.ErrConnectionLost)
		assert.Equal(t, wsx.MaybeSent, wsx.SendStatusOf(err))
		require.ErrorContains(t, err, `invoking "my.echo": `)
	})
}

func TestGatewayThatDoesNotOfferListsIsNotAskedForOne(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		for _, path := range []string{stockPath, patchedPath} {
			_, err := s.connect(path).InvokeList(t.Context(), wsx.ListCall{Service: "my.echo", Requests: []any{1, 2}})
			require.ErrorIs(t, err, wsx.ErrNotOffered)
			assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		}
		assert.Zero(t, s.Invocations("connect.invoke"))
	})
}

func TestAnswerThatIsNoListIsAnError(t *testing.T) {
	answerWith := func(answer any) wsxtest.Service {
		return func(context.Context, wsxtest.Invocation) (any, error) { return answer, nil }
	}
	description := json.RawMessage(`{"name":"zato-connect","can":["invoke-list"],"limits":{"invoke_requests":9}}`)
	for problem, answer := range map[string]any{
		"it has 0 responses to 1 requests": map[string]any{"responses": []int{}},
		"cannot unmarshal":                 "something else",
	} {
		withServer(t, func(s *testServer) {
			t := s.t
			list := wsx.ListCall{Service: "my.echo", Requests: []any{1}}
			_, err := s.connect(patchedPath).InvokeList(t.Context(), list)
			require.ErrorContains(t, err, `invoking "my.echo": reading the answer: `)
			require.ErrorContains(t, err, problem)
			assert.Equal(t, wsx.MaybeSent, wsx.SendStatusOf(err))
		}, wsxtest.WithService("connect.describe", answerWith(description)),
			wsxtest.WithService("connect.invoke", answerWith(answer)))
	}
}
