package wsx_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// certificate returns a server configuration with the certificate of httptest, which is
// valid for 127.0.0.1 and example.com, and a pool that trusts it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12}, roots
}

// startTCPServer starts a server on the loopback interface and returns the configuration
// of a client.
func startTCPServer(t *testing.T, opts ...wsxtest.Option) wsx.Config {
	t.Helper()
	server := wsxtest.NewServer(append([]wsxtest.Option{wsxtest.WithTranscriptServer()}, opts...)...)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	return wsx.Config{Address: server.URL(patchedPath), Username: "user1", Secret: "secret1"}
}

// connectAndCall connects, calls a service and closes the client.
func connectAndCall(t *testing.T, cfg wsx.Config) error {
	t.Helper()
	c, err := wsx.New(cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	if err := c.AwaitReady(withTimeout(t, 5*time.Second)); err != nil {
		return err
	}
	_, err = c.Invoke(t.Context(), "zato.ping", nil)
	return err
}

func TestTLSNeedsATrustedCertificate(t *testing.T) {
	conf, roots := certificate(t)
	cfg := startTCPServer(t, wsxtest.WithTLS(conf))
	cfg.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	require.NoError(t, connectAndCall(t, cfg))

	cfg.TLS = nil
	require.ErrorContains(t, connectAndCall(t, cfg), "certificate")
}

func TestConnectionGoesThroughTheProxy(t *testing.T) {
	requests := make(chan string, 2)
	done := make(chan struct{}, 4)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r.Method + " " + r.Host
		target, err := net.Dial("tcp", r.Host)
		if !assert.NoError(t, err) {
			return
		}
		// Respond after Hijack. Otherwise the HTTP server would read ahead and lose the
		// first byte of the tunnel.
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		}
		if !assert.NoError(t, err) {
			return
		}
		for _, pair := range [][2]net.Conn{{conn, target}, {target, conn}} {
			go func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
				done <- struct{}{}
			}()
		}
	}))
	cfg := startTCPServer(t)
	var err error
	cfg.ProxyURL, err = url.Parse(proxy.URL)
	require.NoError(t, err)
	require.NoError(t, connectAndCall(t, cfg))
	<-done // both directions
	<-done
	proxy.Close()
	target, err := url.Parse(cfg.Address)
	require.NoError(t, err)
	assert.Equal(t, "CONNECT "+target.Host, <-requests)
	assert.Empty(t, requests)
}

func TestHeadersAreSentWithTheUpgrade(t *testing.T) {
	headers := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	err := connectAndCall(t, wsx.Config{
		Address: "ws" + strings.TrimPrefix(server.URL, "http"),
		Headers: http.Header{"X-Test": {"1"}},
	})
	var refused *wsx.UpgradeError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, "1", (<-headers).Get("X-Test"))
}
