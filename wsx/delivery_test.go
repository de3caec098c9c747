package wsx_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// holdingProxy stands for a proxy that hangs up on clients and keeps the connections to the server open.
type holdingProxy struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu    sync.Mutex
	conns []*heldConn
}

// heldConn is a connection of a client through a holdingProxy.
type heldConn struct {
	net.Conn

	toClient net.Conn // the proxy's end of the connection of the client
	held     chan struct{}
}

// Dial opens a connection to the server. The proxy forwards bytes in both directions until hangUp.
func (p *holdingProxy) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	toServer, err := p.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	client, proxy := net.Pipe()
	c := &heldConn{Conn: toServer, toClient: proxy, held: make(chan struct{})}
	p.mu.Lock()
	p.conns = append(p.conns, c)
	p.mu.Unlock()
	go func() {
		_, _ = io.Copy(proxy, toServer) // every error is the end of the connection
		_ = proxy.Close()
	}()
	go func() {
		_, _ = io.Copy(toServer, proxy)
		select {
		case <-c.held:
		default:
			_ = toServer.Close()
		}
	}()
	return client, nil
}

// hangUp closes the connections of clients. Those to the server stay open.
func (p *holdingProxy) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		close(c.held)
		_ = c.toClient.Close()
	}
	p.conns = nil
}

// behind returns a change of a client's configuration that connects it through the proxy.
func (p *holdingProxy) behind(cfg *wsx.Config) {
	p.dial, cfg.Dial = cfg.Dial, p.Dial
}

// withProxiedSubscriber runs a test with a client that receives a durable subscription through a holding proxy. The
// server pings it every two seconds.
func withProxiedSubscriber(
	t *testing.T, test func(*testServer, *holdingProxy, *wsx.Client), opts ...wsxtest.Option,
) {
	t.Helper()
	withServer(t, func(s *testServer) {
		proxy := &holdingProxy{}
		c := s.connect(shortTokenPath, proxy.behind)
		_, err := c.Subscribe(s.t.Context(), wsx.Subscription{Topic: topic, Durable: true})
		require.NoError(s.t, err)
		test(s, proxy, c)
	}, opts...)
}

func TestSubscriptionThatTheServerStopsDeliveringIsResumed(t *testing.T) {
	withProxiedSubscriber(t, func(s *testServer, proxy *holdingProxy, c *wsx.Client) {
		t := s.t
		key := c.Subscriptions()[0].Key
		advance(5 * time.Second)
		proxy.hangUp()
		advance(time.Second) // until then, messages may still go to the former connection
		longest, began := time.Duration(0), time.Now()
		for time.Since(began) < time.Minute {
			published := time.Now()
			s.publishTexts("x")
			s.receiveTexts(c, 1)
			longest = max(longest, time.Since(published))
		}
		assert.Less(t, longest, 8*time.Second)
		assert.Greater(t, longest, 2*time.Second, "the server forgets the connection when the former one misses its pings")
		assert.Equal(t, key, c.Subscriptions()[0].Key)
		assert.Equal(t, 1, strings.Count(s.log.String(), "no longer delivers"), s.log.String())
	})
}

func TestGatewayThatDoesNotSayWhetherItDeliversCausesOneWarning(t *testing.T) {
	withProxiedSubscriber(t, func(s *testServer, proxy *holdingProxy, c *wsx.Client) {
		t := s.t
		advance(5 * time.Second)
		proxy.hangUp()
		advance(30 * time.Second)
		s.publishTexts("x")
		_, err := c.Receive(withTimeout(t, time.Minute))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 1, strings.Count(s.log.String(), "or mount the channel on connect.gateway"))
	}, allowing(shortTokenPath))
}

// allowing returns an option for a channel whose gateway allows no services but those that every gateway allows.
func allowing(path string, services ...string) wsxtest.Option {
	return wsxtest.WithChannel(wsxtest.Channel{
		Path: path, Username: "user1", Secret: "secret1", PingInterval: 2 * time.Second,
		ServicesAllowed: append([]string{}, services...),
	})
}

func TestCompanionAndStockGatewayAreNotWarnedAbout(t *testing.T) {
	for path, gateway := range map[string]wsxtest.Gateway{"/connect": wsxtest.Connect, stockPath: wsxtest.Stock} {
		withServer(t, func(s *testServer) {
			c := s.connect(path)
			_, err := c.Subscribe(s.t.Context(), wsx.Subscription{Topic: topic})
			require.NoError(s.t, err)
			advance(time.Minute)
			assert.NotContains(s.t, s.log.String(), "level=WARN")
			assert.Equal(s.t, 1, s.SessionsOpened())
		}, wsxtest.WithChannel(wsxtest.Channel{
			Path: path, Username: "user1", Secret: "secret1", Gateway: gateway, ServicesAllowed: []string{},
		}))
	}
}

func TestSubscriptionThatAnAdministratorDeletesIsMadeAgainAndToldOnce(t *testing.T) {
	const connectPath = "/connect"
	for _, path := range []string{patchedPath, connectPath} {
		withServer(t, func(s *testServer) {
			t := s.t
			c := s.connect(path)
			key, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: true})
			require.NoError(t, err)
			advance(time.Minute)
			assert.Equal(t, 1, s.SessionsOpened(), "as long as the server delivers")
			s.DeleteSubscription(key.Reveal())
			advance(10 * time.Second)
			s.publishTexts("x")
			assert.Equal(t, []string{"x"}, s.receiveTexts(c, 1), path)
			assert.NotEqual(t, key, c.Subscriptions()[0].Key)
			assert.Equal(t, 1, strings.Count(s.log.String(), "messages published meanwhile may be lost"), s.log.String())
		}, wsxtest.WithChannel(wsxtest.Channel{
			Path: connectPath, Username: "user1", Secret: "secret1", Gateway: wsxtest.Connect, ServicesAllowed: []string{},
		}))
	}
}

func TestTopicThatAnAdministratorDeletesIsToldOnceAndReceivedWhenItIsBack(t *testing.T) {
	for _, path := range []string{patchedPath, stockPath} {
		withServer(t, func(s *testServer) {
			t := s.t
			c := s.connect(path)
			_, err := c.Subscribe(t.Context(), wsx.Subscription{Topic: topic, Durable: path == patchedPath})
			require.NoError(t, err)
			s.DeleteTopic(topic)
			advance(10 * time.Minute)
			assert.Equal(t, 1, strings.Count(s.log.String(), "level=ERROR"), s.log.String())
			assert.NotContains(t, s.log.String(), "subscribed again")
			require.ErrorIs(t, c.AwaitReady(t.Context()), wsx.ErrSubscribeFailed)

			s.CreateTopic(wsxtest.Topic{Name: topic})
			advance(time.Minute)
			s.publishTexts("x")
			assert.Equal(t, []string{"x"}, s.receiveTexts(c, 1))
			assert.Equal(t, 1, strings.Count(s.log.String(), "subscribed again"), s.log.String())
		})
	}
}

func TestServerThatDeniesEveryDeliveryDoesNotCauseASessionEveryFewSeconds(t *testing.T) {
	deny := func(context.Context, wsxtest.Invocation) (any, error) {
		return nil, &wsxtest.StatusError{Status: 400, Message: "No such sub_key"}
	}
	withServer(t, func(s *testServer) {
		c := s.connectAndSubscribe()
		advance(time.Hour)
		assert.Less(s.t, s.SessionsOpened(), 260, "one every 5 seconds would be 720")
		assert.Greater(s.t, s.SessionsOpened(), 100)
		assert.Len(s.t, c.Subscriptions(), 1)
	}, wsxtest.WithService("zato.pubsub.delivery.get-server-pid-for-sub-key", deny))
}

func TestMessagesThatExpiredWhileNobodyWasConnectedSaySo(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		key := s.subscribeAndLeave()
		for text, seconds := range map[string]int64{"short": 2, "long": 3600} {
			_, err := s.Publish(topic, text, wsxtest.PublishOptions{Expiration: seconds})
			require.NoError(t, err)
		}
		advance(4 * time.Second)
		second := s.connect(patchedPath)
		require.NoError(t, second.Resume(t.Context(), wsx.Subscription{Topic: topic, Key: key}))
		expired := map[string]bool{}
		for len(expired) < 2 {
			frame, err := second.Receive(withTimeout(t, time.Minute))
			require.NoError(t, err)
			for _, m := range frame.Messages {
				expired[string(m.Data)] = m.Expired()
			}
		}
		assert.Equal(t, map[string]bool{"short": true, "long": false}, expired)
	})
}

func TestMessageWithoutItsTimesHasNotExpired(t *testing.T) {
	const early, late = "2026-01-01T10:11:12", "2026-01-01T10:11:12.5"
	for times, expected := range map[[2]string]bool{
		{early, late}: true, {late, early}: false, {early, early}: false, {"", late}: false, {early, ""}: false,
		{"", ""}: false, {"2026", late}: false, {early, "late"}: false,
	} {
		m := wsx.Message{ExpirationTime: times[0], RecvTime: times[1]}
		assert.Equal(t, expected, m.Expired(), times)
	}
}

func TestSubscriptionWhoseAnswerNeverComesIsNotLeftOnTheConnection(t *testing.T) {
	for _, path := range []string{patchedPath, stockPath} {
		withServer(t, func(s *testServer) {
			t := s.t
			c := s.connect(path)
			if path == stockPath {
				s.DelayResponses(time.Second) // the answer comes, but too late
			} else {
				s.DropResponses(1)
			}
			_, err := c.Subscribe(withTimeout(t, 500*time.Millisecond), wsx.Subscription{Topic: topic})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			s.DelayResponses(0)
			_, err = c.Subscribe(withTimeout(t, time.Minute), wsx.Subscription{Topic: topic})
			require.NoError(t, err)
			assert.Len(t, s.Subscriptions(), 1, path)
			s.publishTexts("x")
			assert.Equal(t, []string{"x"}, s.receiveTexts(c, 1))
		})
	}
}

func TestDeletedSubscriptionThatMayOnlyBeResumedIsToldOnce(t *testing.T) {
	withServer(t, func(s *testServer) {
		t := s.t
		key := s.subscribeAndLeave()
		c := s.connect(patchedPath)
		require.NoError(t, c.Resume(t.Context(), wsx.Subscription{Topic: topic, Key: key}))
		s.DeleteSubscription(key.Reveal())
		advance(10 * time.Minute)
		require.ErrorIs(t, c.AwaitReady(t.Context()), wsx.ErrResumeFailed)
		assert.Equal(t, 1, strings.Count(s.log.String(), "level=ERROR"), s.log.String())
		assert.Contains(t, s.log.String(), "or allow a new subscription")
	})
}
