package wsx_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Channels of the transcript server.
const (
	stockPath         = "/my.wsx"
	patchedPath       = "/my.wsx.cid"   // its gateway makes durable subscriptions
	shortTokenPath    = "/my.wsx.short" // tokens expire after 5 s, pings every 2 s, closes after 2 misses
	singleServicePath = "/my.echo"      // without credentials
)

// testServer is a server on an in-memory network, with the log of its clients.
type testServer struct {
	*wsxtest.Server

	t       *testing.T // the test in the bubble
	network *wsxtest.Network
	log     logtest.Buffer
}

// withServer runs a test with a server in a bubble, so that time is virtual.
func withServer(t *testing.T, test func(*testServer), opts ...wsxtest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &testServer{t: t, network: wsxtest.NewNetwork()}
		s.Server = wsxtest.NewServer(append([]wsxtest.Option{
			wsxtest.WithNetwork(s.network), wsxtest.WithTranscriptServer(),
		}, opts...)...)
		require.NoError(t, s.Start())
		defer s.Close()
		test(s)
	})
}

// clientConfig returns the configuration of a client of the channel with this path.
func (s *testServer) clientConfig(path string) wsx.Config {
	return wsx.Config{
		Address: s.URL(path), Username: "user1", Secret: "secret1", ClientID: "client.a", ClientName: "My a",
		Dial: s.network.Dial, Logger: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// newClient returns a client that is closed when the test ends. It does not connect.
func (s *testServer) newClient(path string, changes ...func(*wsx.Config)) *wsx.Client {
	s.t.Helper()
	cfg := s.clientConfig(path)
	for _, change := range changes {
		change(&cfg)
	}
	c, err := wsx.New(cfg)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, c.Close()) })
	return c
}

// connect returns a client that is Ready.
func (s *testServer) connect(path string, changes ...func(*wsx.Config)) *wsx.Client {
	s.t.Helper()
	c := s.newClient(path, changes...)
	require.NoError(s.t, c.AwaitReady(s.t.Context()))
	return c
}

// topic is a topic of the transcript server.
const topic = "/my/topic.gd"

// publishTexts publishes texts at the server. It waits after each so that the server
// delivers it in a frame of its own.
func (s *testServer) publishTexts(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		_, err := s.Publish(topic, text, wsxtest.PublishOptions{})
		require.NoError(s.t, err)
		advance(600 * time.Millisecond)
	}
}

// connectAndSubscribe returns a client that is Ready and has subscribed to topic.
func (s *testServer) connectAndSubscribe(changes ...func(*wsx.Config)) *wsx.Client {
	s.t.Helper()
	c := s.connect(patchedPath, changes...)
	_, err := c.Subscribe(s.t.Context(), wsx.Subscription{Topic: topic})
	require.NoError(s.t, err)
	return c
}

// subscribeAndLeave makes a durable subscription, closes its client and returns the key.
func (s *testServer) subscribeAndLeave() wsx.SubKey {
	s.t.Helper()
	c := s.connect(patchedPath)
	key, err := c.Subscribe(s.t.Context(), wsx.Subscription{Topic: topic, Durable: true})
	require.NoError(s.t, err)
	require.NoError(s.t, c.Close())
	advance(time.Second)
	return key
}

// receiveTexts returns the data of the next messages, n or more.
func (s *testServer) receiveTexts(c *wsx.Client, n int) []string {
	s.t.Helper()
	var data []string
	for len(data) < n {
		f, err := c.Receive(withTimeout(s.t, time.Minute))
		require.NoError(s.t, err)
		for _, m := range f.Messages {
			data = append(data, string(m.Data))
		}
	}
	return data
}

// texts returns n texts: the prefix followed by 0, 1 and so on.
func texts(prefix string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%s %d", prefix, i))
	}
	return out
}

// advance advances the virtual time by d and then waits until every other goroutine
// in the bubble is blocked.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the time is virtual
	synctest.Wait()
}

// withTimeout returns a context that ends after d or when the test ends.
func withTimeout(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
