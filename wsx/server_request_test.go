package wsx_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// request sends a request from the server to the client and returns the response.
func (s *testServer) request(data any, timeout time.Duration) string {
	s.t.Helper()
	answer, err := s.Request(s.t.Context(), "client.a", data, timeout)
	require.NoError(s.t, err)
	return string(answer)
}

func TestHandlerRespondsToRequestsOfTheServer(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		s.connect(patchedPath, func(cfg *wsx.Config) {
			cfg.OnRequest = func(_ context.Context, r *wsx.ServerRequest) (any, error) {
				switch {
				case strings.Contains(string(r.Data), "fail"):
					return nil, errors.New("failed")
				case strings.Contains(string(r.Data), "unencodable"):
					return func() {}, nil
				}
				return map[string]any{"got": r.Data, "id": r.ID != ""}, nil
			}
		})
		assert.JSONEq(t, `{"got": {"q": 1}, "id": true}`, s.request(map[string]int{"q": 1}, 5*time.Second))
		assert.JSONEq(t, `{"error": "failed"}`, s.request("fail", 5*time.Second))
		assert.Contains(t, s.request("unencodable", 5*time.Second), "cannot be encoded as JSON")
	})
}

func TestClientWithoutAHandlerRespondsWithNull(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		s.connect(patchedPath)
		start := time.Now()
		assert.JSONEq(t, `null`, s.request(1, 5*time.Second))
		assert.Zero(t, time.Since(start), "the client responds before the server times out")
	})
}

func TestContextOfAHandlerEndsWithItsSession(t *testing.T) {
	for cause, end := range map[error]func(*testServer, *wsx.Client){
		wsx.ErrConnectionLost: func(s *testServer, _ *wsx.Client) { s.Cut() },
		wsx.ErrClosed:         func(_ *testServer, c *wsx.Client) { _ = c.Close() },
	} {
		t.Run(cause.Error(), func(t *testing.T) {
			withServer(t, func(s *testServer) {
				t := s.t
				causes := make(chan error, 1)
				c := s.connect(patchedPath, func(cfg *wsx.Config) {
					cfg.OnRequest = func(ctx context.Context, _ *wsx.ServerRequest) (any, error) {
						<-ctx.Done()
						causes <- context.Cause(ctx)
						return nil, ctx.Err()
					}
				})
				go func() { _, _ = s.Request(t.Context(), "client.a", 1, 5*time.Second) }()
				synctest.Wait()
				end(s, c)
				require.ErrorIs(t, <-causes, cause)
			})
		})
	}
}

func TestTooManyRequestsOfTheServerAreRefused(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		release := make(chan struct{})
		s.connect(patchedPath, func(cfg *wsx.Config) {
			cfg.OnRequest = func(context.Context, *wsx.ServerRequest) (any, error) {
				<-release
				return "done", nil
			}
		})
		answers := make(chan string, 1100)
		for range 1100 {
			go func() { answers <- s.request(1, time.Minute) }()
		}
		synctest.Wait()
		assert.Len(t, answers, 1100-1024)
		close(release)
		counts := map[string]int{}
		for range 1100 {
			counts[<-answers]++
		}
		assert.Equal(t, 1024, counts[`"done"`], "%v", counts)
	})
}

func TestContextOfALateHandlerEndsAndTheServerGetsAnError(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		causes := make(chan error, 1)
		c := s.connect(patchedPath, func(cfg *wsx.Config) {
			cfg.OnRequest = func(ctx context.Context, _ *wsx.ServerRequest) (any, error) {
				<-ctx.Done()
				causes <- context.Cause(ctx)
				advance(time.Second)
				return "late", nil
			}
		})
		start := time.Now()
		assert.JSONEq(t, `{"error": "no answer within 4.5s: context deadline exceeded"}`, s.request(1, 5*time.Second))
		assert.Equal(t, wsx.DefaultRequestTimeout, time.Since(start))
		require.ErrorIs(t, <-causes, context.DeadlineExceeded)
		advance(2 * time.Second)
		assert.Len(t, s.Responses(), 1, "the late answer was dropped")
		assert.True(t, c.Connected())
	})
}

func TestInvalidResponseBecomesAnError(t *testing.T) {
	withServer(t, func(s *testServer) {
		s.connect(patchedPath, func(cfg *wsx.Config) {
			cfg.OnRequest = func(context.Context, *wsx.ServerRequest) (any, error) { return "\xff", nil }
		})
		assert.JSONEq(s.t, `{"error": "no answer: response: is not valid UTF-8"}`, s.request(1, 5*time.Second))
	})
}

func TestContentOfAServerRequest(t *testing.T) {
	for data, content := range map[string]string{`"text"`: "text", `{"n": 1.50}`: `{"n": 1.50}`, ``: ``} {
		got, err := (&wsx.ServerRequest{Data: json.RawMessage(data)}).Content()
		require.NoError(t, err)
		assert.Equal(t, content, string(got))
	}
}
