package proxies_test

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

const (
	path  = "/zato.wsx.gateway"
	topic = "/orders"
	// maxReturnTime is the time from the return of the server to the next session.
	maxReturnTime = 3 * time.Second
)

// certificate is a self-signed certificate for 127.0.0.1.
type certificate struct{ cert, key []byte }

func newCertificate(t *testing.T) certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return certificate{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

// write writes the certificate and the key, and a file with both.
func (c certificate) write(t *testing.T, dir string) {
	t.Helper()
	for name, text := range map[string][]byte{
		"cert.pem": c.cert, "key.pem": c.key, "both.pem": slices.Concat(c.cert, c.key),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
}

// setup is a client that connects to a server through a proxy.
type setup struct {
	t      *testing.T
	server *wsxtest.Server
	proxy  *proxy
	client *wsx.Client
	log    logtest.Buffer
}

// forEach runs a test with proxies of several kinds, all at the same time.
func forEach(t *testing.T, kinds []kind, limits limits, test func(*setup), changes ...func(*wsx.Config)) {
	t.Helper()
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.find(t)
			s := &setup{t: t}
			// Only the client pings, so that its pings alone keep a connection open.
			s.server = wsxtest.NewServer(wsxtest.WithAutoCreatedTopics(), wsxtest.WithDeliveryInterval(10*time.Millisecond),
				wsxtest.WithService("echo", wsxtest.Echo),
				wsxtest.WithChannel(wsxtest.Channel{
					Path: path, Username: "user1", Secret: "secret1", Gateway: wsxtest.Patched, PingInterval: time.Hour,
				}))
			require.NoError(t, s.server.Start())
			t.Cleanup(s.server.Close)
			cert := newCertificate(t)
			s.proxy = startProxy(t, k, s.server.Addr(), cert, limits)
			roots := x509.NewCertPool()
			require.True(t, roots.AppendCertsFromPEM(cert.cert))
			cfg := wsx.Config{
				Address: "wss://" + s.proxy.addr + path, Username: "user1", Secret: "secret1",
				TLS:    &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
				Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
			}
			for _, change := range changes {
				change(&cfg)
			}
			var err error
			s.client, err = wsx.New(cfg)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.client.Close()) })
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the log of the client:\n%s", s.log.String())
				}
			})
			s.awaitReady()
			test(s)
		})
	}
}

// awaitReady waits for a connection and returns how long that took.
func (s *setup) awaitReady() time.Duration {
	s.t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	require.NoError(s.t, s.client.AwaitReady(ctx))
	return time.Since(start)
}

// staysConnected fails if the connection ends within a time.
func (s *setup) staysConnected(d time.Duration) {
	s.t.Helper()
	select {
	case <-s.client.Disconnected():
		require.Fail(s.t, "the connection ended")
	case <-time.After(d):
	}
}

// awaitDisconnected waits for the end of the connection.
func (s *setup) awaitDisconnected(disconnected <-chan struct{}) {
	s.t.Helper()
	select {
	case <-disconnected:
	case <-time.After(10 * time.Second):
		require.Fail(s.t, "the connection did not end")
	}
}

// passes checks that a text arrives in each direction.
func (s *setup) passes(text string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	echo, err := s.client.Call(ctx, wsx.Call{Service: "echo", Request: text})
	require.NoError(s.t, err)
	content, err := echo.Content()
	require.NoError(s.t, err)
	require.Len(s.t, content, len(text))
	_, err = s.server.Publish(topic, text, wsxtest.PublishOptions{})
	require.NoError(s.t, err)
	frame, err := s.client.Receive(ctx)
	require.NoError(s.t, err)
	require.Len(s.t, frame.Messages, 1)
	require.Len(s.t, frame.Messages[0].Data, len(text))
}

func (s *setup) subscribe() {
	s.t.Helper()
	_, err := s.client.Subscribe(s.t.Context(), wsx.Subscription{Topic: topic, Durable: true})
	require.NoError(s.t, err)
}

func TestMessagesPassThroughTheProxy(t *testing.T) {
	forEach(t, kinds(), pageLimits, func(s *setup) {
		s.subscribe()
		for i := range 100 {
			s.passes("message " + strconv.Itoa(i))
		}
		s.passes(strings.Repeat("x", 2_000_000))
		assert.Equal(s.t, 1, s.server.SessionsOpened())
	})
}

func TestPingsKeepAnIdleConnectionOpen(t *testing.T) {
	const pingInterval = 1 * time.Second // half of the limit
	forEach(t, kinds(), shortLimits, func(s *setup) {
		s.subscribe()
		s.staysConnected(5 * pingInterval)
		s.passes("after the idle time")
		assert.Equal(s.t, 1, s.server.SessionsOpened())
	}, func(cfg *wsx.Config) { cfg.PingInterval = pingInterval })
}

func TestConnectionWithoutPingsEndsAtTheIdleLimit(t *testing.T) {
	forEach(t, kinds(), shortLimits, func(s *setup) {
		if !s.proxy.hasIdleLimit {
			s.staysConnected(4 * time.Second)
			return
		}
		s.awaitDisconnected(s.client.Disconnected())
		assert.Less(s.t, s.awaitReady(), maxReturnTime)
	}, func(cfg *wsx.Config) { cfg.PingInterval = time.Hour })
}

func TestReloadOfTheProxyLosesNoMessage(t *testing.T) {
	forEach(t, kinds(), pageLimits, func(s *setup) {
		s.subscribe()
		s.passes("before")
		s.staysConnected(1100 * time.Millisecond) // a stable connection is replaced at once
		for i := range 2 {
			disconnected := s.client.Disconnected()
			s.proxy.reloadAndWait()
			if s.proxy.cutsAtReload {
				s.awaitDisconnected(disconnected)
				assert.Less(s.t, s.awaitReady(), maxReturnTime)
				assert.Contains(s.t, s.log.String(), "1001")
			}
			s.passes(fmt.Sprintf("after reload %d", i))
		}
		if !s.proxy.cutsAtReload {
			assert.Equal(s.t, 1, s.server.SessionsOpened(), "the old connection stays")
		}
	})
}

func TestClientIsConnectedSoonAfterTheReturnOfTheServer(t *testing.T) {
	repeats, err := strconv.Atoi(cmp.Or(os.Getenv("ZATO_TEST_PROXY_REPEATS"), "1"))
	require.NoError(t, err)
	forEach(t, kinds(), pageLimits, func(s *setup) {
		s.subscribe()
		for _, outage := range []time.Duration{time.Second, 8 * time.Second} {
			var times []time.Duration
			for range repeats {
				s.staysConnected(1100 * time.Millisecond)
				disconnected := s.client.Disconnected()
				s.server.Stop()
				s.awaitDisconnected(disconnected)
				<-time.After(outage)
				require.NoError(s.t, s.server.Restart())
				times = append(times, s.awaitReady())
				s.passes("after the return")
			}
			slices.Sort(times)
			s.t.Logf("%s, server away for %s: connected after %v to %v, median %v (%d times)",
				s.proxy.name, outage, times[0], times[repeats-1], times[repeats/2], repeats)
			assert.Less(s.t, times[repeats-1], maxReturnTime)
		}
		assert.Contains(s.t, s.log.String(), "a proxy answered, and the server behind it did not")
		assert.NotContains(s.t, s.log.String(), "level=ERROR")
	})
}

func TestIdleConnectionWithDefaultsStaysOpen(t *testing.T) { //nolint:tparallel // forEach is parallel
	idle, err := time.ParseDuration(cmp.Or(os.Getenv("ZATO_TEST_PROXY_IDLE"), "0s"))
	require.NoError(t, err)
	if idle == 0 {
		t.Skip("ZATO_TEST_PROXY_IDLE is not set: it says for how long, as in 5m")
	}
	forEach(t, kinds(), pageLimits, func(s *setup) {
		s.staysConnected(idle)
		assert.Equal(s.t, 1, s.server.SessionsOpened())
	})
}
