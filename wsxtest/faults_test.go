package wsxtest_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

func TestCutClosesConnectionsWithoutACloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		assert.Equal(t, 1, srv.Connections())
		srv.Cut()
		assert.Equal(t, transcript.EOF, p.next(t).kind)
		synctest.Wait()
		assert.Zero(t, srv.Connections())
		assert.Empty(t, srv.CloseFrames())
	})
}

func TestDisconnectSendsACloseFrameAndWaitsForTheClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		srv.Disconnect(1001, "Server is shutting down")
		ev := p.next(t)
		assert.Equal(t, 1001, ev.code)
		assert.Equal(t, "Server is shutting down", ev.reason)
		p.send(t, "{}") // ignored
		p.requireSilence(t, 10*time.Second)
		assert.Equal(t, 1, srv.Connections())
		p.close(t)
		assert.Equal(t, []wsxtest.CloseFrame{{Code: 1000, Reason: "bye", ClientID: "me"}}, srv.CloseFrames())
	})
}

func TestDisconnectCutsAConnectionThatIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		srv.stalledClient(t)
		began := time.Now()
		srv.Disconnect(1001, "x")
		assert.Equal(t, time.Second, time.Since(began))
		synctest.Wait()
		assert.Zero(t, srv.Connections())
	})
}

// stalledClient returns a connection whose client does not read. When it returns, the
// server is blocked in a write to the connection.
func (s *testServer) stalledClient(t *testing.T) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: s.network.Dial}
	ws := upgrade(t, dialer, s.URL(patched))
	t.Cleanup(func() { _ = ws.NetConn().Close() })
	p := &peer{ws: ws}
	p.sendFrame(t, p.newMeta("create-session", map[string]any{"username": "user1", "secret": "secret1"}), nil)
	_, raw, err := ws.ReadMessage()
	require.NoError(t, err)
	var login struct {
		Data struct {
			Token string `json:"token"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal(raw, &login))
	p.token = login.Data.Token
	subscription := map[string]any{"topic_name": "/my/topic.gd", "unsub_on_wsx_close": false}
	p.sendInvocation(t, "zato.pubsub.pubapi.subscribe-wsx", subscription)
	_, _, err = ws.ReadMessage()
	require.NoError(t, err)
	p.sendInvocation(t, "my.bytes", map[string]any{"size": 1_000_000})
	synctest.Wait()
	return ws
}

func TestFrozenServerNeitherReadsNorWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		srv.Freeze(3 * time.Second)
		began := time.Now()
		p.invoke(t, "zato.ping", nil)
		assert.Equal(t, 3*time.Second, time.Since(began))
		srv.Freeze(time.Hour)
		p.sendInvocation(t, "zato.ping", nil)
		srv.Close() // does not wait until the server would read again
		assert.Equal(t, 3*time.Second, time.Since(began))
	})
}

func TestResponsesAreDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		srv.DelayResponses(2 * time.Second)
		began := time.Now()
		p := srv.login(t)
		p.invoke(t, "zato.ping", nil)
		assert.Equal(t, 4*time.Second, time.Since(began))
		srv.DelayResponses(0)
		p.invoke(t, "zato.ping", nil)
		assert.Equal(t, 4*time.Second, time.Since(began))
		srv.DelayResponses(time.Hour)
		p.sendInvocation(t, "zato.ping", nil)
		synctest.Wait()
		srv.Cut()
		assert.Equal(t, transcript.EOF, p.next(t).kind)
	})
}

func TestLoginsAreRefusedOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		refused := func() {
			p := srv.dial(t, patched)
			p.sendFrame(t, p.newMeta("create-session", map[string]any{"username": "user1", "secret": "secret1"}), nil)
			assert.Equal(t, "zwsx.merr", p.frame(t).Meta.MsgType)
			assert.Equal(t, transcript.EOF, p.next(t).kind)
		}
		srv.RefuseLogins(1)
		refused()
		srv.login(t)
		srv.RefuseLogins(-1)
		refused()
		refused()
		srv.RefuseLogins(0)
		srv.login(t)
		assert.Equal(t, 2, srv.SessionsOpened())
		assert.Equal(t, 5, srv.LoginAttempts())
	})
}

func TestGarbageAndPartialFramesReachLoggedInClientsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p, stranger := srv.login(t), srv.dial(t, patched)
		srv.SendRaw([]byte("garbage"))
		assert.Equal(t, "garbage", string(p.next(t).bytes))
		srv.SendPartialFrame()
		assert.Equal(t, transcript.EOF, p.next(t).kind)
		stranger.requireSilence(t, time.Second)
	})
}

func TestPartialFrameIsWrittenBeforeTheConnectionIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		dialer := websocket.Dialer{NetDialContext: srv.network.Dial}
		ws := upgrade(t, dialer, srv.URL(patched))
		t.Cleanup(func() { _ = ws.NetConn().Close() })
		p := &peer{ws: ws}
		p.sendFrame(t, p.newMeta("create-session", map[string]any{"username": "user1", "secret": "secret1"}), nil)
		_, _, err := ws.ReadMessage()
		require.NoError(t, err)
		srv.SendPartialFrame()
		_, r, err := ws.NextReader()
		require.NoError(t, err)
		half := make([]byte, 10)
		n, err := r.Read(half)
		require.NoError(t, err)
		assert.Equal(t, `{"`, string(half[:n]))
		_, err = r.Read(half)
		require.ErrorContains(t, err, "EOF")
	})
}

func TestResponsesAreDroppedOrConnectionsCutBeforeThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		srv.DropResponses(1)
		p.sendInvocation(t, "my.echo", 1)
		p.requireSilence(t, time.Second)
		p.invoke(t, "my.echo", 2)
		srv.CutBeforeResponse(1)
		p.sendInvocation(t, "my.echo", 3)
		assert.Equal(t, transcript.EOF, p.next(t).kind)
		assert.Equal(t, 3, srv.Invocations("my.echo"))
		assert.Equal(t, map[string]int{"my.echo": 3}, srv.InvocationsByService())
	})
}

func TestStopKeepsWhatIsStoredAndRestartListensAtTheSameAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		durable := map[string]any{"unsub_on_wsx_close": false}
		guaranteed := p.subscribe(t, "/my/topic.gd", durable)
		memory := p.subscribe(t, "/my/topic", durable)
		p.subscribe(t, "/my/topic2", nil)
		p.close(t)
		<-time.After(time.Second)
		connected := srv.login(t).subscribe(t, "/my/topic2", nil)
		for _, topic := range []string{"/my/topic.gd", "/my/topic", "/my/topic2"} {
			_, err := srv.Publish(topic, "away", wsxtest.PublishOptions{})
			require.NoError(t, err)
		}
		address := srv.Addr()
		srv.Stop()
		_, err := srv.network.Dial(t.Context(), "tcp", address)
		require.ErrorContains(t, err, "connection refused")
		require.NoError(t, srv.Restart())
		require.ErrorContains(t, srv.Start(), "running")
		assert.Equal(t, address, srv.Addr())
		depths := map[string]int{}
		for _, sub := range srv.Subscriptions() {
			depths[sub.SubKey] = sub.Depth
			assert.Equal(t, sub.SubKey != connected, sub.Durable)
			assert.False(t, sub.Attached)
		}
		const reason = "messages in memory are stored if nobody is connected"
		assert.Equal(t, map[string]int{guaranteed: 1, memory: 1, connected: 0}, depths, reason)
		p = srv.login(t)
		result(t, p.invoke(t, "zato.pubsub.resume-wsx-subscription", map[string]any{"sub_key": guaranteed}))
		assert.Equal(t, "zwsx.psrq", p.frame(t).Meta.MsgType)
	})
}

func TestAnswerToAClosedConnectionUsesUpNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p := srv.login(t)
		p.sendInvocation(t, "my.sleep", map[string]any{"seconds": 5})
		synctest.Wait()
		srv.CutBeforeResponse(1)
		srv.Cut()
		<-time.After(10 * time.Second)
		p = srv.login(t)
		p.sendInvocation(t, "zato.ping", nil)
		assert.Equal(t, transcript.EOF, p.next(t).kind)
	})
}

func TestRestartForgetsThatASubscriptionIsDurable(t *testing.T) {
	for path, left := range map[string]int{patched: 0, connectPath: 1} {
		synctest.Test(t, func(t *testing.T) {
			srv := startConnectServer(t)
			key := srv.connect(t, path).subscribe(t, "/my/topic.gd", map[string]any{"unsub_on_wsx_close": false})
			srv.Stop()
			require.NoError(t, srv.Restart())
			require.Len(t, srv.Subscriptions(), 1)
			p := srv.connect(t, path)
			result(t, p.invoke(t, serviceResume, map[string]any{"sub_key": key}))
			p.close(t)
			assert.Len(t, srv.Subscriptions(), left, "of %s", path)
		})
	}
}

func TestSecretsCanBeChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		srv.SetSecret(patched, "new")
		srv.SetSecret("/no/such", "new")
		p := srv.dial(t, patched)
		p.sendFrame(t, p.newMeta("create-session", map[string]any{"username": "user1", "secret": "secret1"}), nil)
		assert.Equal(t, 403, p.frame(t).Meta.Status)
		srv.dial(t, patched).logIn(t, map[string]any{"secret": "new"})
	})
}
