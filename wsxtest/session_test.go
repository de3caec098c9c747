package wsxtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

func TestMalformedLoginGetsNoResponseUntilTheLoginTimeout(t *testing.T) {
	for name, fields := range map[string]map[string]any{
		"no secret":          {"username": "user1"},
		"attrs as an object": {"username": "user1", "secret": "secret1", "attrs": map[string]any{"a": 1}},
		"attrs with a word":  {"username": "user1", "secret": "secret1", "attrs": "a=1\nword"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := startServer(t)
				p := srv.dial(t, patched)
				p.sendFrame(t, p.newMeta("create-session", fields), nil)
				p.requireSilence(t, 4900*time.Millisecond)
				assert.Equal(t, "zwsx.merr", p.frame(t).Meta.MsgType)
				p.sendFrame(t, p.newMeta("create-session", map[string]any{"username": "user1", "secret": "secret1"}), nil)
				require.NoError(t, p.ws.WriteControl(websocket.PingMessage, []byte("x"), time.Now().Add(time.Second)))
				p.requireSilence(t, time.Minute) // open but ignored
				assert.Equal(t, 1, srv.Connections())
				p.close(t)
				assert.Zero(t, srv.SessionsOpened())
			})
		})
	}
}

func TestLoginWithoutAClientIDNeverGetsAResponse(t *testing.T) {
	for _, id := range []any{nil, "", []int{1}, map[string]int{}} {
		synctest.Test(t, func(t *testing.T) {
			srv := startServer(t)
			p := srv.dial(t, patched)
			p.sendFrame(t, p.newMeta("create-session",
				map[string]any{"username": "user1", "secret": "secret1", "client_id": id}), nil)
			p.requireSilence(t, time.Minute)
			assert.Equal(t, 1, srv.Connections())
			p.close(t)
		})
	}
}

func TestLoginThatIsDelayedTooLongFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		srv.DelayResponses(6 * time.Second)
		p := srv.dial(t, patched)
		p.sendFrame(t, p.newMeta("create-session", map[string]any{"username": "user1", "secret": "secret1"}), nil)
		assert.Equal(t, "zwsx.merr", p.frame(t).Meta.MsgType)
		p.requireSilence(t, time.Minute)
	})
}

func TestFrameWithAnEmptyActionInvokesAService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startServer(t).login(t)
		for _, action := range []string{"", "unknown"} {
			id := p.sendFrame(t, p.newMeta(action, nil), map[string]any{"service": "zato.ping"})
			assert.Equal(t, id, p.frame(t).Meta.InReplyTo, action)
		}
	})
}

func TestInvocationBeforeTheLoginIsForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.dial(t, patched)
		p.sendInvocation(t, "zato.ping", nil)
		assert.Equal(t, "zwsx.merr", p.frame(t).Meta.MsgType)
		assert.Equal(t, transcript.EOF, p.next(t).kind)
	})
}

func TestFramesWithAMalformedMetaAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		p.send(t, `{"meta": "text"}`)
		p.send(t, `{"meta": {"id": null, "timestamp": "x"}}`)
		p.send(t, `null`)
		p.requireSilence(t, time.Second)
		p.invoke(t, "zato.ping", nil)
	})
}

func TestTokenExpiresWithoutPongs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.dial(t, "/my.wsx.short").logIn(t, nil)
		assert.Equal(t, transcript.Ping, p.next(t).kind)
		<-time.After(4 * time.Second)
		p.sendInvocation(t, "zato.ping", nil)
		assert.Equal(t, "zwsx.merr", p.frame(t).Meta.MsgType)
		assert.Equal(t, transcript.EOF, p.next(t).kind)
	})
}

func TestMalformedPongsCloseTheConnectionAndUnknownOnesAreIgnored(t *testing.T) {
	for payload, dropped := range map[string]bool{
		"": true, "x": true, "[1]": true, "null": true, `{"a": 1}`: true, `{"meta": {}}`: true, `{"meta": {"id": 7}}`: true,
		`{"meta": {"id": null}}`: false, `{"meta": {"id": "unknown"}}`: false,
	} {
		t.Run(payload, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := startServer(t)
				p := srv.login(t)
				for range 2 {
					require.NoError(t, p.ws.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(time.Second)))
					if dropped {
						assert.Equal(t, transcript.EOF, p.next(t).kind)
						return
					}
				}
				p.invoke(t, "zato.ping", nil)
				p.requireSilence(t, 29*time.Second)
				assert.Equal(t, transcript.Ping, p.next(t).kind)
			})
		})
	}
}

func TestAnsweredPingResetsTheMissedCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.dial(t, "/my.wsx.short").logIn(t, nil)
		for range 4 { // every second one is missed
			p.next(t)
			ev := p.next(t)
			require.Equal(t, transcript.Ping, ev.kind)
			require.NoError(t, p.ws.WriteControl(websocket.PongMessage, ev.bytes, time.Now().Add(time.Second)))
		}
	})
}

func TestAttributesHaveTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.dial(t, patched).logIn(t, map[string]any{
			"attrs": "i=7\nf=2.5\nt=true\nf2=False\ns=a=b\n\n", "client_name": 5,
		})
		var caller struct {
			Attrs map[string]any `json:"client_attrs"`
			Name  string         `json:"ext_client_name"`
		}
		require.NoError(t, json.Unmarshal([]byte(result(t, p.invoke(t, "my.whoami", 1))), &caller))
		assert.Equal(t, map[string]any{"i": 7., "f": 2.5, "t": true, "f2": false, "s": "a=b"}, caller.Attrs)
		assert.Equal(t, "5", caller.Name)
	})
}

func TestServicesReturnTheirOwnStatusAndPanicsBecomeInternalErrors(t *testing.T) {
	services := map[string]wsxtest.Service{
		"status": func(context.Context, wsxtest.Invocation) (any, error) {
			return nil, &wsxtest.StatusError{Status: 409, Message: "Conflict"}
		},
		"panic":   func(context.Context, wsxtest.Invocation) (any, error) { return []int{}[len(os.Args)], nil },
		"no JSON": func(context.Context, wsxtest.Invocation) (any, error) { return func() {}, nil },
	}
	var opts []wsxtest.Option
	for name, service := range services {
		opts = append(opts, wsxtest.WithService(name, service))
	}
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, opts...)
		p := srv.login(t)
		f := p.invoke(t, "status", 1)
		assert.Equal(t, 409, f.Meta.Status)
		assert.Equal(t, "Conflict", f.Meta.ErrorMessage)
		assert.Contains(t, string(f.Data), f.Meta.ID)
		assert.Equal(t, 500, p.invoke(t, "panic", 1).Meta.Status)
		assert.Equal(t, 500, p.invoke(t, "no JSON", 1).Meta.Status)
		for _, service := range []string{"my.sleep", "my.disconnect-me", "my.invoke-back"} {
			assert.Equal(t, 500, p.invoke(t, service, "x").Meta.Status, service)
		}
		assert.Equal(t, 400, p.invoke(t, "my.bytes", "x").Meta.Status)
	})
	assert.EqualError(t, &wsxtest.StatusError{Status: 409, Message: "Conflict"}, "409 Conflict")
}

func TestFalsyRequestMakesTheServiceSeeTheGatewayArguments(t *testing.T) {
	var inputs []string
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithService("see",
			func(_ context.Context, inv wsxtest.Invocation) (any, error) {
				inputs = append(inputs, string(inv.Request), string(inv.Payload))
				return len(inputs), nil
			}))
		p := srv.login(t)
		p.invoke(t, "see", 0)
		p.invoke(t, "see", 1)
		assert.Equal(t, []string{`{"request":0,"service":"see"}`, "0", "1", "1"}, inputs)
	})
}

func TestOnlyListedServicesAreAllowed(t *testing.T) {
	limited := wsxtest.Channel{Path: "/limited", ServicesAllowed: []string{"my.echo"}}
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithChannel(limited))
		p := srv.dial(t, "/limited").logIn(t, nil)
		for service, status := range map[string]int{"my.echo": 200, "zato.ping": 200, "my.whoami": 403, "no.such": 403} {
			assert.Equal(t, status, p.invoke(t, service, 1).Meta.Status, service)
		}
	})
}

func TestOldGatewayHasNoWrapper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithChannel(wsxtest.Channel{Path: "/old", Gateway: wsxtest.NoWrapper}))
		p := srv.dial(t, "/old").logIn(t, nil)
		assert.JSONEq(t, `{"pong":"zato"}`, string(p.invoke(t, "zato.ping", nil).Data))
		assert.Empty(t, p.invoke(t, "my.nothing", nil).Data)
		f := p.invoke(t, "zato.pubsub.pubapi.subscribe-wsx", map[string]any{"topic_name": "/my/topic"})
		assert.Contains(t, string(f.Data), `"sub_key"`)
	})
}

func TestRequestsEndWithTheirContextConnectionOrTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		_, err := srv.Request(t.Context(), "nobody", 1, 0)
		require.ErrorContains(t, err, "nobody")
		p := srv.login(t)
		began := time.Now()
		answer, err := srv.Request(t.Context(), "me", 1, 0)
		require.NoError(t, err)
		assert.Equal(t, "null", string(answer))
		assert.Equal(t, 5*time.Second, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = srv.Request(ctx, "me", 1, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = srv.Request(t.Context(), "me", func() {}, 0)
		require.Error(t, err)

		time.AfterFunc(time.Second, srv.Cut)
		answer, err = srv.Request(t.Context(), "me", 1, 0)
		require.NoError(t, err)
		assert.Equal(t, "null", string(answer))
		p.next(t)
	})
}

func TestAResponseWithoutDataIsNull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		answers := make(chan string, 1)
		go func() {
			answer, err := srv.Request(t.Context(), "me", "q", time.Minute)
			answers <- string(answer)
			assert.NoError(t, err)
		}()
		id := p.frame(t).Meta.ID
		p.sendFrame(t, p.newMeta("client-response", map[string]any{"in_reply_to": id}), nil)
		assert.Equal(t, "null", <-answers)
	})
}

func TestServiceCanCutItsCaller(t *testing.T) {
	cut := func(_ context.Context, inv wsxtest.Invocation) (any, error) {
		inv.Session.Cut()
		return nil, errors.New("no client receives this")
	}
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithService("cut", cut))
		p := srv.login(t)
		p.sendInvocation(t, "cut", 1)
		assert.Equal(t, transcript.EOF, p.next(t).kind)
		p = srv.login(t)
		p.invoke(t, "my.disconnect-me", map[string]any{"code": 4005})
		srv.Cut() // before the service closes the connection
		assert.Equal(t, transcript.EOF, p.next(t).kind)
	})
}

func TestServicesEndWhenTheServerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		began := time.Now()
		p.sendInvocation(t, "my.sleep", map[string]any{"seconds": 3600})
		synctest.Wait()
		srv.Close()
		srv.Close()
		assert.Zero(t, time.Since(began))
	})
}

func TestRecorderKeepsTheLastFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t, wsxtest.WithFrameRecorder(3))
		p := srv.login(t)
		p.invoke(t, "zato.ping", nil)
		frames := srv.Frames()
		require.Len(t, frames, 3)
		assert.True(t, frames[1].FromClient)
		assert.Contains(t, string(frames[1].Payload), "zato.ping")
		assert.Contains(t, string(frames[2].Payload), `"pong"`)
		for range 10 {
			p.invoke(t, "zato.ping", nil)
		}
		assert.Len(t, srv.Frames(), 3)
	})
}
