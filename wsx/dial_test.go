package wsx_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// certificate borrows the certificate for 127.0.0.1 that httptest has.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12}, roots
}

// overTCP starts a server on the loopback interface and returns how to reach it.
func overTCP(t *testing.T, opts ...wsxtest.Option) wsx.Config {
	t.Helper()
	server := wsxtest.NewServer(append([]wsxtest.Option{wsxtest.WithTranscriptServer()}, opts...)...)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	return wsx.Config{Address: server.URL(patchedPath), Username: "user1", Secret: "secret1"}
}

// try connects and calls a service.
func try(t *testing.T, cfg wsx.Config) error {
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

func TestTLSWorksWhereTheCertificateIsTrusted(t *testing.T) {
	conf, roots := certificate(t)
	cfg := overTCP(t, wsxtest.WithTLS(conf))
	cfg.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	require.NoError(t, try(t, cfg))

	cfg.TLS = nil
	require.ErrorContains(t, try(t, cfg), "certificate")
}

func TestProxyIsUsed(t *testing.T) {
	through := make(chan string, 2)
	ended := make(chan struct{}, 4)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through <- r.Method + " " + r.Host
		target, err := net.Dial("tcp", r.Host)
		if !assert.NoError(t, err) {
			return
		}
		// Answered only then: the HTTP server would swallow a byte of what comes next.
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		}
		if !assert.NoError(t, err) {
			return
		}
		for _, ends := range [][2]net.Conn{{conn, target}, {target, conn}} {
			go func() {
				_, _ = io.Copy(ends[0], ends[1])
				_ = ends[0].Close()
				ended <- struct{}{}
			}()
		}
	}))
	cfg := overTCP(t)
	var err error
	cfg.ProxyURL, err = url.Parse(proxy.URL)
	require.NoError(t, err)
	require.NoError(t, try(t, cfg))
	<-ended // both directions
	<-ended
	proxy.Close()
	target, err := url.Parse(cfg.Address)
	require.NoError(t, err)
	assert.Equal(t, "CONNECT "+target.Host, <-through)
	assert.Empty(t, through)
}
