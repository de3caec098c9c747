package connection_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
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

// channel returns a gateway with a secret that is easy to find in a log.
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

// connection returns a connection object for a server.
func connection(server *wsxtest.Server, more ...string) string {
	fields := append([]string{
		"address: " + server.URL("/hidden"), "username: user1", "secret: " + secret, "timeout: 2s",
	}, more...)
	return "{ " + strings.Join(fields, ", ") + " }"
}

// roundTrip returns a pipeline that sends each message that it is fed through a service and to
// a topic, and receives it again from the topic.
func roundTrip(conn string) string {
	return fmt.Sprintf(`
input:
  broker:
    inputs:
      - feed: {}
      - zato_wsx: { connection: %[1]s, topics: [ /round-trip ] }
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
          zato_wsx: { connection: %[1]s, topic: /round-trip, max_in_flight: 1 }
      - output: { collect: {} }
`, conn)
}

func TestPipelineOpensOneConnectionForCallsAndOneForItsSubscription(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, roundTrip(connection(server)))
	for i := range 20 {
		text := fmt.Sprintf(`{"i":%d}`, i)
		acked := s.Feed(text)
		require.NoError(t, s.AwaitAck(acked))
		assert.JSONEq(t, text, s.NextTexts(1)[0])
	}
	assert.Equal(t, 2, server.SessionsOpened())
	s.Stop(streamtest.Timeout)
	require.Eventually(t, func() bool { return server.Connections() == 0 }, streamtest.Timeout, time.Millisecond)
	for _, c := range server.CloseFrames() {
		assert.Equal(t, 1000, c.Code)
	}
}

func TestComponentsWithDifferentSettingsShareNoConnection(t *testing.T) {
	server := startServer(t)
	conn := connection(server)
	yaml := strings.Replace(roundTrip(conn), conn+", service", connection(server, "client_id: other")+", service", 1)
	s := streamtest.Start(t, yaml)
	require.NoError(t, s.AwaitAck(s.Feed(`"x"`)))
	s.Next()
	assert.Equal(t, 3, server.SessionsOpened())
}

func TestSecretsAreNotLogged(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, roundTrip(connection(server)))
	require.NoError(t, s.AwaitAck(s.Feed(`"x"`)))
	s.Next()
	server.SetSecret("/hidden", "rotated")
	server.Cut()
	s.AwaitLog("login refused")
	server.SetSecret("/hidden", secret)
	s.Stop(streamtest.Timeout)
	for _, word := range []string{secret, "zwsxt.", "zpsk."} {
		assert.NotContains(t, s.Log(), word)
	}
}

func TestPipelineSurvivesRestartsOfTheServer(t *testing.T) {
	server := startServer(t)
	s := streamtest.Start(t, roundTrip(connection(server, "backoff: { max_interval: 100ms }")))
	for round := range 3 {
		text := fmt.Sprintf("round %d", round)
		acked := s.Feed(text)
		require.NoError(t, s.AwaitAck(acked))
		assert.Equal(t, []string{text}, s.NextTexts(1))
		server.Stop()
		s.AwaitLog("connection")
		require.NoError(t, server.Restart())
		attached := func(sub wsxtest.SubscriptionInfo) bool { return sub.Attached }
		require.Eventually(t, func() bool { return slices.ContainsFunc(server.Subscriptions(), attached) },
			streamtest.Timeout, 5*time.Millisecond, "the input has subscribed again")
	}
}

// blackHole returns the address of a listener that accepts connections and sends nothing, and a
// function that reports whether it has accepted one.
func blackHole(t *testing.T) (addr string, accepted func() bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	var count atomic.Int64
	var conns []net.Conn
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			count.Add(1)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return l.Addr().String(), func() bool { return count.Load() > 0 }
}

// components are pipelines with one component each. %s stands for the connection object.
var components = map[string]string{
	"input":  "input: { zato_wsx: { connection: %s, topics: [ /t ] } }\noutput: { collect: {} }",
	"output": "input: { feed: {} }\noutput: { zato_wsx: { connection: %s, topic: /t, has_gd: true } }",
	"processor": "input: { feed: {} }\noutput: { collect: {} }\n" +
		"pipeline: { processors: [ zato_wsx: { connection: %s, service: my.sleep } ] }",
}

func TestEveryComponentStopsWithinTwoSecondsInEveryState(t *testing.T) {
	t.Parallel()
	for component, yaml := range components {
		for state, arrange := range states {
			t.Run(component+" "+state, func(t *testing.T) {
				t.Parallel()
				conn, reached := arrange(t, component)
				s := streamtest.Start(t, fmt.Sprintf(yaml, conn))
				if component != "input" {
					s.Feed(`{"seconds": 0}`)
				}
				require.Eventually(t, func() bool { return reached(s) }, streamtest.Timeout, time.Millisecond)
				s.Stop(2 * time.Second)
			})
		}
	}
}

// states are states that a component can be stopped in. Each function prepares a server. It
// returns a connection object, and a function that reports whether the component is in the state.
var states = map[string]func(t *testing.T, component string) (conn string, reached func(*streamtest.Stream) bool){
	"dialing": func(t *testing.T, _ string) (string, func(*streamtest.Stream) bool) {
		t.Helper()
		addr, accepted := blackHole(t)
		return "{ address: ws://" + addr + "/x }", func(*streamtest.Stream) bool { return accepted() }
	},
	"logging in": func(t *testing.T, _ string) (string, func(*streamtest.Stream) bool) {
		t.Helper()
		server := startServer(t)
		server.DelayResponses(time.Hour)
		t.Cleanup(func() { server.DelayResponses(0) })
		return connection(server), func(*streamtest.Stream) bool { return server.Connections() > 0 }
	},
	"waiting": func(t *testing.T, _ string) (string, func(*streamtest.Stream) bool) {
		t.Helper()
		server := startServer(t)
		server.Stop()
		return connection(server), waitsForNextAttempt
	},
	"rejected": func(t *testing.T, _ string) (string, func(*streamtest.Stream) bool) {
		t.Helper()
		server := startServer(t)
		server.RefuseLogins(-1)
		return connection(server), waitsForNextAttempt
	},
	"rejected with a secret file": func(t *testing.T, _ string) (string, func(*streamtest.Stream) bool) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "secret")
		require.NoError(t, os.WriteFile(path, []byte("wrong"), 0o600))
		conn := connection(startServer(t))
		return strings.Replace(conn, "secret: "+secret, "secret_file: "+path, 1), waitsForNextAttempt
	},
	"blocked": func(t *testing.T, component string) (string, func(*streamtest.Stream) bool) {
		t.Helper()
		server := startServer(t)
		if component != "input" {
			server.DropResponses(-1)
		}
		_, err := server.Publish("/t", "blocks the input", wsxtest.PublishOptions{})
		require.NoError(t, err)
		return connection(server), func(*streamtest.Stream) bool {
			switch component {
			case "input":
				return len(server.Delivered()) > 0
			case "output":
				return len(server.Published()) > 1
			default:
				return server.Invocations("my.sleep") > 0
			}
		}
	},
}

func waitsForNextAttempt(s *streamtest.Stream) bool {
	return strings.Contains(s.Log(), "next_attempt_in")
}

func TestEveryComponentLogsWhyItCannotConnect(t *testing.T) {
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
				s.AwaitLog(c.expected)
				s.Stop(2 * time.Second)
			})
		}
	}
}
