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

// ask makes the server call the client.
func (l *lab) ask(data any, timeout time.Duration) string {
	l.t.Helper()
	answer, err := l.Request(l.t.Context(), "client.a", data, timeout)
	require.NoError(l.t, err)
	return string(answer)
}

func TestRequestsOfTheServerAreAnswered(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		l.ready(patched, func(cfg *wsx.Config) {
			cfg.OnRequest = func(_ context.Context, r *wsx.ServerRequest) (any, error) {
				switch {
				case strings.Contains(string(r.Data), "fail"):
					return nil, errors.New("broken")
				case strings.Contains(string(r.Data), "odd"):
					return func() {}, nil
				}
				return map[string]any{"got": r.Data, "id": r.ID != ""}, nil
			}
		})
		assert.JSONEq(t, `{"got": {"q": 1}, "id": true}`, l.ask(map[string]int{"q": 1}, 5*time.Second))
		assert.JSONEq(t, `{"error": "broken"}`, l.ask("fail", 5*time.Second))
		assert.Contains(t, l.ask("odd", 5*time.Second), "cannot be encoded as JSON")
	})
}

func TestRequestsAreAnsweredWithNullWhereThereIsNoHandler(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		l.ready(patched)
		began := time.Now()
		assert.JSONEq(t, `null`, l.ask("anybody?", 5*time.Second))
		assert.Zero(t, time.Since(began), "not by the server's time-out")
	})
}

func TestHandlerIsToldWhenItsAnswerIsNotWantedAnyMore(t *testing.T) {
	for cause, end := range map[error]func(*lab, *wsx.Client){
		wsx.ErrConnectionLost: func(l *lab, _ *wsx.Client) { l.Cut() },
		wsx.ErrClosed:         func(_ *lab, c *wsx.Client) { _ = c.Close() },
	} {
		t.Run(cause.Error(), func(t *testing.T) {
			inLab(t, func(l *lab) {
				t := l.t
				told := make(chan error, 1)
				c := l.ready(patched, func(cfg *wsx.Config) {
					cfg.OnRequest = func(ctx context.Context, _ *wsx.ServerRequest) (any, error) {
						<-ctx.Done()
						told <- context.Cause(ctx)
						return nil, ctx.Err()
					}
				})
				go func() { _, _ = l.Request(t.Context(), "client.a", 1, 5*time.Second) }()
				synctest.Wait()
				end(l, c)
				require.ErrorIs(t, <-told, cause)
			})
		})
	}
}

func TestTooManyRequestsAtOnceAreRefused(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		release := make(chan struct{})
		l.ready(patched, func(cfg *wsx.Config) {
			cfg.OnRequest = func(context.Context, *wsx.ServerRequest) (any, error) {
				<-release
				return "done", nil
			}
		})
		answers := make(chan string, 1100)
		for range 1100 {
			go func() { answers <- l.ask(1, time.Minute) }()
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

func TestLateHandlerIsToldAndTheServerGetsAnError(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		told := make(chan error, 1)
		c := l.ready(patched, func(cfg *wsx.Config) {
			cfg.OnRequest = func(ctx context.Context, _ *wsx.ServerRequest) (any, error) {
				<-ctx.Done()
				told <- context.Cause(ctx)
				pass(time.Second)
				return "too late", nil
			}
		})
		began := time.Now()
		assert.JSONEq(t, `{"error": "no answer within 4.5s: context deadline exceeded"}`, l.ask(1, 5*time.Second))
		assert.Equal(t, wsx.DefaultRequestTimeout, time.Since(began))
		require.ErrorIs(t, <-told, context.DeadlineExceeded)
		pass(2 * time.Second)
		assert.Len(t, l.Responses(), 1, "the late answer was dropped")
		assert.True(t, c.Connected())
	})
}

func TestAnswersThatTheServerCouldNotReadBecomeErrors(t *testing.T) {
	inLab(t, func(l *lab) {
		l.ready(patched, func(cfg *wsx.Config) {
			cfg.OnRequest = func(context.Context, *wsx.ServerRequest) (any, error) { return "\xff", nil }
		})
		assert.JSONEq(l.t, `{"error": "no answer: response: is not valid UTF-8"}`, l.ask(1, 5*time.Second))
	})
}

func TestContentOfARequest(t *testing.T) {
	for data, content := range map[string]string{`"text"`: "text", `{"n": 1.50}`: `{"n": 1.50}`, ``: ``} {
		got, err := (&wsx.ServerRequest{Data: json.RawMessage(data)}).Content()
		require.NoError(t, err)
		assert.Equal(t, content, string(got))
	}
}

func TestLostIsClosedWhileThereIsNoConnection(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.client(patched)
		<-c.Disconnected()
		require.NoError(t, c.AwaitReady(t.Context()))
		lost := c.Disconnected()
		select {
		case <-lost:
			t.Fatal("nothing was lost yet")
		default:
		}
		l.Cut()
		<-lost
	})
}
