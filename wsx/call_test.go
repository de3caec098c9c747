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

func TestInvokeReturnsTheAnswerOutOfItsWrapper(t *testing.T) {
	for path, service := range map[string]string{patched: "my.echo", stock: "my.echo", "/old": "my.echo", single: ""} {
		inLab(t, func(l *lab) {
			t := l.t
			c := l.ready(path, func(cfg *wsx.Config) {
				if path == single {
					cfg.Username, cfg.Secret = "", ""
				}
			})
			const request = `{"response":{"zato_gateway_response":1},"big":12345678901234567890,"f":1.10}`
			answer, err := c.Invoke(t.Context(), service, json.RawMessage(request))
			require.NoError(t, err)
			dense := strings.Join(strings.Fields(string(answer)), "") // numbers are compared to the digit
			assert.Equal(t, []string{request}, []string{dense}, path)
		}, wsxtest.WithChannel(wsxtest.Channel{
			Path: "/old", Username: "user1", Secret: "secret1", Gateway: wsxtest.NoWrapper,
		}))
	}
}

func TestFalseAnswersAreEmpty(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		resp, err := l.ready(patched).Call(t.Context(), wsx.Call{Service: "my.nothing", Request: []int{1}})
		require.NoError(t, err)
		assert.JSONEq(t, `""`, string(resp.Data))
		content, err := resp.Content()
		require.NoError(t, err)
		assert.Empty(t, content)
		assert.Equal(t, 200, resp.Status)

		resp, err = l.ready(single, func(cfg *wsx.Config) { cfg.Username, cfg.Secret = "", "" }).
			Call(t.Context(), wsx.Call{Request: 0})
		require.NoError(t, err)
		assert.Empty(t, resp.Data)
	})
}

func TestFailureOfAServiceIsAServerError(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
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

func TestRequestThatCannotBeSentNamesTheField(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		for _, request := range []any{"\xff", func() {}, json.RawMessage("\"\xff\""), json.RawMessage("{")} {
			_, err := c.Invoke(t.Context(), "my.echo", request)
			require.ErrorIs(t, err, wsx.ErrInvalid)
			require.ErrorContains(t, err, `invoking "my.echo"`)
			assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
		}
		assert.Zero(t, l.Invocations("my.echo"))
		_, err := c.Invoke(t.Context(), "zato.ping", nil)
		require.NoError(t, err, "the slot is free again")
	})
}

func TestCallEndsWithItsContextAndTheConnectionLivesOn(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		began := time.Now()
		_, err := c.Invoke(within(t, time.Second), "my.sleep", sleepRequest)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(began))
		assert.Equal(t, wsx.MaybeSent, wsx.SendStatusOf(err))
		assert.Equal(t, 1, c.Pending(), "the server still works on it")

		_, err = c.Invoke(within(t, time.Second), "zato.ping", nil)
		require.ErrorContains(t, err, "no connection was free")
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))

		_, err = c.Invoke(within(t, time.Minute), "zato.ping", nil)
		require.NoError(t, err, "after the slow service has answered")
		assert.Zero(t, c.Pending())
		assert.Equal(t, 1, l.SessionsOpened())
	})
}

func TestCallWithoutADeadlineEndsAfterTheCallTimeout(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		l.DropResponses(1)
		began := time.Now()
		_, err := l.ready(patched).Invoke(context.Background(), "zato.ping", nil)
		require.ErrorContains(t, err, "nothing within 30s")
		assert.Equal(t, 30*time.Second, time.Since(began))
		assert.Equal(t, wsx.MaybeSent, wsx.SendStatusOf(err))
	})
}

func TestConnectionOnWhichAnAnswerNeverCameIsReplaced(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		l.DropResponses(1)
		c := l.ready(patched)
		_, err := c.Invoke(within(t, time.Second), "zato.ping", nil)
		require.Error(t, err)
		_, err = c.Invoke(within(t, 5*time.Minute), "zato.ping", nil)
		require.NoError(t, err)
		assert.Equal(t, 2, l.SessionsOpened())
	})
}

func TestWaitersAreToldAtOnceWhenTheConnectionDies(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		failed := make(chan error, 1)
		go func() {
			_, err := c.Invoke(t.Context(), "my.sleep", sleepRequest)
			failed <- err
		}()
		pass(2 * time.Second)
		began := time.Now()
		l.Cut()
		err := <-failed
		assert.Zero(t, time.Since(began))
		require.ErrorIs(t, err, wsx.ErrConnectionLost)
		assert.Equal(t, wsx.MaybeSent, wsx.SendStatusOf(err))
		require.ErrorContains(t, err, "my.sleep")
	})
}

func TestLostAnswerIsToldApartFromACallNeverSent(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		pass(2 * time.Second)
		l.CutBeforeResponse(1)
		_, err := c.Invoke(t.Context(), "my.echo", []int{1})
		require.ErrorIs(t, err, wsx.ErrConnectionLost)
		assert.Equal(t, wsx.MaybeSent, wsx.SendStatusOf(err))
		assert.Equal(t, 1, l.Invocations("my.echo"))

		l.Stop()
		_, err = c.Invoke(within(t, time.Second), "my.echo", []int{1})
		require.ErrorIs(t, err, wsx.ErrNotConnected)
		assert.Equal(t, wsx.NotSent, wsx.SendStatusOf(err))
	})
}

func TestCallThatWasNeverSentGoesOutOnTheNextConnection(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		l.Stop()
		synctest.Wait()
		done := make(chan error, 1)
		go func() {
			_, err := c.Invoke(t.Context(), "my.echo", []int{1})
			done <- err
		}()
		pass(5 * time.Second)
		require.NoError(t, l.Restart())
		require.NoError(t, <-done)
		assert.Equal(t, 1, l.Invocations("my.echo"))
	})
}

func TestCallThatWaitsForItsTurnMovesToTheNextConnection(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		pass(2 * time.Second)
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
		l.Cut()
		require.ErrorIs(t, <-slow, wsx.ErrConnectionLost)
		require.NoError(t, <-quick)
	})
}

func TestCallRefusedWithAnExpiredTokenIsSentAgain(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready("/brief")
		pass(5 * time.Second) // the token has lived four
		_, err := c.Invoke(t.Context(), "my.echo", []int{1})
		require.NoError(t, err)
		assert.Equal(t, 2, l.SessionsOpened())
		assert.Equal(t, 1, l.Invocations("my.echo"), "the refused one did not run")
	}, wsxtest.WithChannel(wsxtest.Channel{
		Path: "/brief", Username: "user1", Secret: "secret1", TokenTTL: 4 * time.Second, PingInterval: time.Hour,
	}))
}

func TestOwnMessageIDIsUsedAndMustBeUnique(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched, func(cfg *wsx.Config) { cfg.CallsPerConnection = 2 })
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
		require.NoError(t, err, "free again")
	})
}

func TestLargeRequestsAndAnswersPass(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		text := strings.Repeat("0123456789", 200_000)
		answer, err := l.ready(patched).Invoke(t.Context(), "my.echo", text)
		require.NoError(t, err)
		assert.Len(t, answer, len(text)+2)
	})
}

func TestManyCallsShareOneConnection(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched, func(cfg *wsx.Config) { cfg.CallsPerConnection = 8 })
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
		assert.Equal(t, 1, l.SessionsOpened())
	})
}

func TestPublicationsAreCheckedBeforeTheyAreSent(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		for field, p := range map[string]wsx.Publication{
			"topic":         {Data: "x"},
			"data":          {Topic: "/my/topic"},
			"data: is not":  {Topic: "/my/topic", Data: "\xff"},
			"priority":      {Topic: "/my/topic", Data: "x", Priority: 99},
			"priority: is ": {Topic: "/my/topic", Data: "x", Priority: -1},
			"expiration":    {Topic: "/my/topic", Data: "x", Expiration: -1},
			"correl_id":     {Topic: "/my/topic", Data: "x", CorrelID: "\xff"},
		} {
			_, err := c.Publish(t.Context(), p)
			require.ErrorIs(t, err, wsx.ErrInvalid, field)
			require.ErrorContains(t, err, field)
			require.ErrorContains(t, err, p.Topic)
		}
		assert.Empty(t, l.Published())
		_, err := c.Publish(t.Context(), wsx.Publication{Topic: "/no/such", Data: "x"})
		var refused *wsx.ServerError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, 403, refused.Status)
		require.ErrorContains(t, err, `publishing to topic "/no/such"`)
	})
}

func TestPublishSendsTheWholeContext(t *testing.T) {
	inLab(t, func(l *lab) {
		t := l.t
		c := l.ready(patched)
		gd := true
		id, err := c.Publish(t.Context(), wsx.Publication{
			Topic: "/my/topic", Data: `{"a": 1}`, Priority: 7, Expiration: 60, MimeType: "text/csv", CorrelID: "c-1",
			InReplyTo: "r-1", ExtClientID: "e-1", ExtPubTime: "2026-01-02T03:04:05", HasGD: &gd,
			MsgID: "own", MessageID: "frame-1",
		})
		require.NoError(t, err)
		assert.Equal(t, l.Published()[0].ID, id)
		var sent string
		for _, f := range l.Frames() {
			if f.FromClient && strings.Contains(string(f.Payload), "publish-message") {
				sent = string(f.Payload)
			}
		}
		for _, part := range []string{
			`"topic_name":"/my/topic"`, `"data":"{\"a\": 1}"`, `"priority":7`, `"expiration":60`, `"mime_type":"text/csv"`,
			`"correl_id":"c-1"`, `"in_reply_to":"r-1"`, `"ext_client_id":"e-1"`, `"ext_pub_time":"2026-01-02T03:04:05"`,
			`"has_gd":true`, `"msg_id":"own"`, `"id":"frame-1"`,
		} {
			assert.Contains(t, sent, part)
		}
	}, wsxtest.WithFrameRecorder(1000))
}
