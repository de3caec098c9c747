package proxies_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// nginxAnswers is a server block that answers each path differently.
const nginxAnswers = `
limit_conn_zone $server_name zone=connections:1m;
server {
    listen %[1]s;
    proxy_http_version 1.1;
    location /no-upgrade { proxy_pass http://%[2]s/zato.wsx.gateway; }
    location /moved { return 301 https://zato.example.com$request_uri; }
    location /credentials { return 401; }
    location /forbidden { deny all; }
    location /limited {
        add_header Retry-After 4 always;
        return 429;
    }
}
`

func TestAnswersOfNginxAreExplained(t *testing.T) {
	t.Parallel()
	nginx := kinds()[0]
	program := nginx.find(t)
	server := wsxtest.NewServer()
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	p := &proxy{
		kind: nginx, t: t, program: program, dir: t.TempDir(), log: &logtest.Buffer{},
		addr: streamtest.FreeAddress(t),
	}
	p.start(prepareNginx(p, fmt.Sprintf(nginxAnswers, p.addr, server.Addr())))
	for path, expected := range map[string]struct {
		status int
		hint   string
	}{
		"/no-upgrade":  {http.StatusBadRequest, "a proxy probably does not pass the WebSocket upgrade on"},
		"/moved":       {http.StatusMovedPermanently, "redirects to https://zato.example.com, and"},
		"/credentials": {http.StatusUnauthorized, "set them in connection.headers"},
		"/forbidden":   {http.StatusForbidden, "a proxy does not let this client in"},
		"/limited":     {http.StatusTooManyRequests, "a proxy limits how many connections"},
		"/other":       {http.StatusNotFound, "no WebSocket channel has the path"},
	} {
		t.Run(strings.TrimPrefix(path, "/"), func(t *testing.T) {
			t.Parallel()
			failure := firstFailure(t, "ws://"+p.addr+path)
			var refused *wsx.UpgradeError
			require.ErrorAs(t, failure, &refused)
			assert.Equal(t, expected.status, refused.Status)
			require.ErrorContains(t, failure, expected.hint)
			if refused.Status == http.StatusTooManyRequests {
				assert.Equal(t, 4*time.Second, refused.RetryAfter)
			}
		})
	}
}

// firstFailure returns why the first attempt to connect failed.
func firstFailure(t *testing.T, address string) error {
	t.Helper()
	failures := make(chan error, 1)
	c, err := wsx.New(wsx.Config{Address: address, OnState: func(state wsx.State, err error) {
		if state == wsx.Waiting {
			select {
			case failures <- err:
			default: // only the first one matters
			}
		}
	}})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	c.Connect()
	select {
	case failure := <-failures:
		return failure
	case <-time.After(time.Minute):
		require.Fail(t, "the attempt did not fail")
		return nil
	}
}

func TestBlockedProgramNoticesThatNginxClosedItsConnection(t *testing.T) {
	forEach(t, kinds()[:1], shortLimits, func(s *setup) {
		s.subscribe()
		// Nothing receives the messages. A busy machine takes long until they fill all buffers.
		s.publishUntil(s.client.Disconnected(), 40*time.Second)
		assert.False(s.t, s.client.Connected())
		require.Eventually(s.t, func() bool {
			return strings.Contains(s.log.String(), "level=WARN msg=\"the connection is broken") &&
				strings.Contains(s.log.String(), "a ping could not be sent")
		}, 10*time.Second, 20*time.Millisecond)
		require.Eventually(s.t, func() bool { // what had arrived is received first
			s.client.TryReceive(nil, 1)
			return s.server.SessionsOpened() > 1
		}, 10*time.Second, time.Millisecond)
	}, func(cfg *wsx.Config) { cfg.PingInterval, cfg.MaxMessageSize = 4*time.Second, 100_000_000 })
}

func TestPingsKeepTheConnectionOfABlockedProgramOpen(t *testing.T) {
	// HAProxy ends the connection of a client that does not read for its idle limit.
	pingsSuffice := slices.DeleteFunc(kinds(), func(k kind) bool { return k.name == "HAProxy" })
	forEach(t, pingsSuffice, shortLimits, func(s *setup) {
		s.subscribe()
		published := s.publishUntil(s.client.Disconnected(), 6*time.Second)
		assert.True(s.t, s.client.Connected())
		assert.Equal(s.t, published, s.receive(published))
		assert.Equal(s.t, 1, s.server.SessionsOpened())
	}, func(cfg *wsx.Config) { cfg.PingInterval, cfg.MaxMessageSize = time.Second, 100_000_000 })
}

// publishUntil publishes large messages until the connection ends or time is up. It
// returns how many it published.
func (s *setup) publishUntil(disconnected <-chan struct{}, atMost time.Duration) (published int) {
	s.t.Helper()
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	ticker := time.NewTicker(50 * time.Millisecond) // so that each message has a frame of its own
	defer ticker.Stop()
	for {
		if published < 60 { // enough to fill all buffers
			_, err := s.server.Publish(topic, strings.Repeat("x", 1_000_000), wsxtest.PublishOptions{})
			require.NoError(s.t, err)
			published++
		}
		select {
		case <-disconnected:
			return published
		case <-timer.C:
			return published
		case <-ticker.C:
		}
	}
}

// receive receives messages until it has n, and returns their number.
func (s *setup) receive(n int) int {
	s.t.Helper()
	received := 0
	for received < n {
		ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
		frame, err := s.client.Receive(ctx)
		cancel()
		require.NoError(s.t, err)
		received += len(frame.Messages)
	}
	return received
}
