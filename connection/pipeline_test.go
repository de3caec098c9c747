package connection_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "github.com/zato-connect/zato-connect/input"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	_ "github.com/zato-connect/zato-connect/output"
	_ "github.com/zato-connect/zato-connect/processor"
	"github.com/zato-connect/zato-connect/wsxtest"
)

const secret = "hidden-secret"

// channel is a gateway with a secret that is easily found in a log.
func channel() wsxtest.Channel {
	return wsxtest.Channel{
		Path: "/hidden", Username: "user1", Secret: secret,
		NoPublish: []string{"/not/yours"}, NoSubscribe: []string{"/not/yours"},
	}
}

func startServer(t *testing.T) *wsxtest.Server {
	t.Helper()
	options := []wsxtest.Option{
		wsxtest.WithChannel(channel()), wsxtest.WithAutoCreatedTopics(), wsxtest.WithDeliveryInterval(10 * time.Millisecond),
	}
	for name, service := range wsxtest.DemoServices() {
		options = append(options, wsxtest.WithService(name, service))
	}
	server := wsxtest.NewServer(options...)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	return server
}

// connection is a connection object for a server.
func connection(server *wsxtest.Server, more ...string) string {
	fields := append([]string{
		"address: " + server.URL("/hidden"), "username: user1", "secret: " + secret, "timeout: 2s",
	}, more...)
	return "{ " + strings.Join(fields, ", ") + " }"
}

// circle is a pipeline that publishes what it is fed, after a service has seen
// it, and another branch of which receives it again.
func circle(conn string) string {
	return fmt.Sprintf(`
input:
  broker:
    inputs:
      - feed: {}
      - zato_wsx: { connection: %[1]s, topics: [ /circle ] }
pipeline:
  threads: 1
  processors:
    - switch:
        - check: '@zato_topic == null'
          processors:
            - zato_wsx: { connection: %[1]s, service: my.echo }
output:
  switch:
    cases:
      - check: '@zato_topic == null'
        output:
          zato_wsx: { connection: %[1]s, topic: /circle, max_in_flight: 1 }
      - output: { collect: {} }
`, conn)
}

func TestPipelineOpensOneSessionForCallsAndOneForItsSubscription(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, circle(connection(server)))
	for i := range 20 {
		text := fmt.Sprintf(`{"i":%d}`, i)
		acked := s.Feed(text)
		require.NoError(t, s.Acked(acked))
		assert.JSONEq(t, text, s.Texts(1)[0])
	}
	assert.Equal(t, 2, server.SessionsOpened())
	s.Stop(streamtest.Limit)
	require.Eventually(t, func() bool { return server.Connections() == 0 }, streamtest.Limit, time.Millisecond)
	for _, c := range server.CloseFrames() {
		assert.Equal(t, 1000, c.Code)
	}
}

func TestComponentsWithOtherSettingsHaveTheirOwnConnections(t *testing.T) {
	server := startServer(t)
	conn := connection(server)
	yaml := strings.Replace(circle(conn), conn+", service", connection(server, "client_id: other")+", service", 1)
	s := streamtest.Start(t, yaml)
	require.NoError(t, s.Acked(s.Feed(`"x"`)))
	s.Next()
	assert.Equal(t, 3, server.SessionsOpened())
}

func TestSecretsAreInNoLogLine(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, circle(connection(server)))
	require.NoError(t, s.Acked(s.Feed(`"x"`)))
	s.Next()
	server.SetSecret("/hidden", "rotated")
	server.Cut()
	s.Logged("login refused")
	server.SetSecret("/hidden", secret)
	s.Stop(streamtest.Limit)
	for _, word := range []string{secret, "zwsxt.", "zpsk."} {
		assert.NotContains(t, s.Log(), word)
	}
}

func TestServerThatIsKilledAndRestartedDoesNotEndAPipeline(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, circle(connection(server, "backoff: { max_interval: 100ms }")))
	for round := range 3 {
		text := fmt.Sprintf("round %d", round)
		acked := s.Feed(text)
		require.NoError(t, s.Acked(acked))
		assert.Equal(t, []string{text}, s.Texts(1))
		server.Stop()
		s.Logged("connection")
		require.NoError(t, server.Restart())
		require.Eventually(t, func() bool { return len(server.Subscriptions()) == 1 && server.Subscriptions()[0].Attached },
			streamtest.Limit, 5*time.Millisecond, "the subscription is back")
	}
}

// blackHole accepts connections and says nothing.
func blackHole(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	var conns []net.Conn
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return l.Addr().String()
}

// components are the three under test, with the address of a server to fill in.
var components = map[string]string{
	"input":  "input: { zato_wsx: { connection: %s, topics: [ /t ] } }\noutput: { collect: {} }",
	"output": "input: { feed: {} }\noutput: { zato_wsx: { connection: %s, topic: /t } }",
	"processor": "input: { feed: {} }\noutput: { collect: {} }\n" +
		"pipeline: { processors: [ zato_wsx: { connection: %s, service: my.sleep } ] }",
}

func TestEveryComponentStopsWithinTwoSecondsInEveryState(t *testing.T) {
	t.Parallel()
	states := map[string]func(*testing.T) string{
		"dialing": func(t *testing.T) string {
			t.Helper()
			return "{ address: ws://" + blackHole(t) + "/x }"
		},
		"logging in": func(t *testing.T) string {
			t.Helper()
			server := startServer(t)
			server.Freeze(time.Hour)
			t.Cleanup(func() { server.Freeze(0) })
			return connection(server)
		},
		"waiting": func(t *testing.T) string {
			t.Helper()
			server := startServer(t)
			server.Stop()
			return connection(server)
		},
		"refused": func(t *testing.T) string {
			t.Helper()
			server := startServer(t)
			server.RefuseLogins(-1)
			return connection(server)
		},
		"blocked": func(t *testing.T) string {
			t.Helper()
			server := startServer(t)
			_, err := server.Publish("/t", "blocks the output", wsxtest.PublishOptions{})
			require.NoError(t, err)
			server.DelayResponses(time.Hour)
			t.Cleanup(func() { server.DelayResponses(0) })
			return connection(server)
		},
	}
	for component, yaml := range components {
		for state, arrange := range states {
			t.Run(component+" "+state, func(t *testing.T) {
				t.Parallel()
				s := streamtest.Start(t, fmt.Sprintf(yaml, arrange(t)))
				if component != "input" {
					s.Feed(`{"seconds": 60}`)
				}
				<-time.After(200 * time.Millisecond) // let it come into the state
				s.Stop(2 * time.Second)
			})
		}
	}
}

func TestWhatIsWrongIsSaidByEveryComponent(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	good := connection(server)
	for name, c := range map[string]struct{ conn, expected string }{
		"wrong secret": {strings.Replace(good, secret, "wrong", 1), "login refused: check username and secret"},
		"wrong path": {
			strings.Replace(good, "/hidden", "/nowhere", 1), "no WebSocket channel has the path of this address",
		},
		"no server": {"{ address: ws://127.0.0.1:1/x, timeout: 500ms }", "connection refused"},
		"TLS on a plain port": {
			strings.Replace(strings.Replace(good, "ws://", "wss://", 1), "timeout: 2s", "timeout: 500ms", 1),
			"the server does not speak TLS on this port",
		},
	} {
		for component, yaml := range components {
			t.Run(name+" "+component, func(t *testing.T) {
				t.Parallel()
				s := streamtest.Start(t, fmt.Sprintf(yaml, c.conn))
				if component != "input" {
					s.Feed(`{"seconds": 0}`)
				}
				s.Logged(c.expected)
				s.Stop(2 * time.Second)
			})
		}
	}
}
