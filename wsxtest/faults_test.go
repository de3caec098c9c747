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

func TestCutEndsConnectionsWithoutACloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startLab(t)
		p := srv.login(t)
		assert.Equal(t, 1, srv.Connections())
		srv.Cut()
		assert.Equal(t, transcript.EOF, p.next(t).kind)
		synctest.Wait()
		assert.Zero(t, srv.Connections())
		assert.Empty(t, srv.Closes())
	})
}

func TestDisconnectSendsACloseFrameAndWaitsForTheClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startLab(t)
		p := srv.login(t)
		srv.Disconnect(1001, "Server is shutting down")
		h := p.next(t)
		assert.Equal(t, 1001, h.code)
		assert.Equal(t, "Server is shutting down", h.reason)
		p.send(t, "{}") // is not even read as a frame
		p.silent(t, 10*time.Second)
		assert.Equal(t, 1, srv.Connections())
		p.close(t)
		assert.Equal(t, []wsxtest.CloseInfo{{Code: 1000, Reason: "bye", ClientID: "me"}}, srv.Closes())
	})
}

func TestDisconnectCutsAConnectionThatIsNotReadFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startLab(t)
		srv.stuck(t)
		began := time.Now()
		srv.Disconnect(1001, "x")
		assert.Equal(t, time.Second, time.Since(began))
		synctest.Wait()
		assert.Zero(t, srv.Connections())
	})
}

// stuck returns a connection whose client reads nothing while the server waits
// in a write of a message.
func (l *lab) stuck(t *testing.T) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: l.network.Dial}
	ws := upgrade(t, dialer, l.URL(patched))
	t.Cleanup(func() { _ = ws.NetConn().Close() })
	p := &peer{ws: ws}
	p.sendFrame(t, p.meta("create-session", map[string]any{"username": "user1", "secret": "secret1"}), nil)
	_, raw, err := ws.ReadMessage()
	require.NoError(t, err)
	var login struct {
		Data struct {
			Token string `json:"token"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal(raw, &login))
	p.token = login.Data.Token
	p.ask(t, "zato.pubsub.pubapi.subscribe-wsx", map[string]any{"topic_name": "/my/topic.gd", "unsub_on_wsx_close": false})
	_, _, err = ws.ReadMessage()
	require.NoError(t, err)
	p.ask(t, "my.bytes", map[string]any{"size": 1_000_000})
	synctest.Wait()
	return ws
}

func TestStallHoldsBackReadsAndWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startLab(t)
		p := srv.login(t)
		srv.Freeze(3 * time.Second)
		began := time.Now()
		p.invoke(t, "zato.ping", nil)
		assert.Equal(t, 3*time.Second, time.Since(began))
		srv.Freeze(time.Hour)
		p.ask(t, "zato.ping", nil)
		srv.Close() // does not wait for the stall's end
		assert.Equal(t, 3*time.Second, time.Since(began))
	})
}

func TestDelayComesBeforeEachAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startLab(t)
		srv.Delay(2 * time.Second)
		began := time.Now()
		p := srv.login(t)
		p.invoke(t, "zato.ping", nil)
		assert.Equal(t, 4*time.Second, time.Since(began))
		srv.Delay(0)
		p.invoke(t, "zato.ping", nil)
		assert.Equal(t, 4*time.Second, time.Since(began))
		srv.Delay(time.Hour)
		p.ask(t, "zato.ping", nil)
		synctest.Wait()
		srv.Cut()
		assert.Equal(t, transcript.EOF, p.next(t).kind)
	})
}

func TestLoginsAreRefusedOnCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startLab(t)
		refused := func() {
			p := srv.dial(t, patched)
			p.sendFrame(t, p.meta("create-session", map[string]any{"username": "user1", "secret": "secret1"}), nil)
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
		assert.Equal(t, 5, srv.Logins())
	})
}

func TestGarbageAndHalfFramesReachWhoIsLoggedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startLab(t)
		p, stranger := srv.login(t), srv.dial(t, patched)
		srv.SendRaw([]byte("garbage"))
		assert.Equal(t, "garbage", string(p.next(t).bytes))
		srv.SendHalfFrame()
		assert.Equal(t, transcript.EOF, p.next(t).kind)
		stranger.silent(t, time.Second)
	})
}

func TestHalfAFrameIsReallySent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startLab(t)
		dialer := websocket.Dialer{NetDialContext: srv.network.Dial}
		ws := upgrade(t, dialer, srv.URL(patched))
		t.Cleanup(func() { _ = ws.NetConn().Close() })
		p := &peer{ws: ws}
		p.sendFrame(t, p.meta("create-session", map[string]any{"username": "user1", "secret": "secret1"}), nil)
		_, _, err := ws.ReadMessage()
		require.NoError(t, err)
		srv.SendHalfFrame()
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

func TestAnswersAreDroppedAndConnectionsCutBeforeThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startLab(t)
		p := srv.login(t)
		srv.DropResponses(1)
		p.ask(t, "my.echo", 1)
		p.silent(t, time.Second)
		p.invoke(t, "my.echo", 2)
		srv.CutBeforeResponse(1)
		p.ask(t, "my.echo", 3)
		assert.Equal(t, transcript.EOF, p.next(t).kind)
		assert.Equal(t, 3, srv.Invocations("my.echo"))
		assert.Equal(t, map[string]int{"my.echo": 3}, srv.AllInvocations())
	})
}

func TestStopKeepsOnlyWhatIsGuaranteedAndRestartListensAtTheSameAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startLab(t)
		p := srv.login(t)
		durable := map[string]any{"unsub_on_wsx_close": false}
		guaranteed := p.subscribe(t, "/my/topic.gd", durable)
		memory := p.subscribe(t, "/my/topic", durable)
		p.subscribe(t, "/my/topic2", nil)
		p.close(t)
		<-time.After(time.Second)
		for _, topic := range []string{"/my/topic.gd", "/my/topic"} {
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
			assert.True(t, sub.Durable)
			assert.False(t, sub.Attached)
		}
		assert.Equal(t, map[string]int{guaranteed: 1, memory: 0}, depths)
		p = srv.login(t)
		result(t, p.invoke(t, "zato.pubsub.resume-wsx-subscription", map[string]any{"sub_key": guaranteed}))
		assert.Equal(t, "zwsx.psrq", p.frame(t).Meta.MsgType)
	})
}

func TestSecretsRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := startLab(t)
		srv.SetSecret(patched, "new")
		srv.SetSecret("/no/such", "new")
		p := srv.dial(t, patched)
		p.sendFrame(t, p.meta("create-session", map[string]any{"username": "user1", "secret": "secret1"}), nil)
		assert.Equal(t, 403, p.frame(t).Meta.Status)
		srv.dial(t, patched).logIn(t, map[string]any{"secret": "new"})
	})
}
