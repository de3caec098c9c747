package e2e_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	checks "github.com/zato-connect/zato-connect/internal/check"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// check runs the check command. It returns the output and whether the exit status is 0.
func check(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	cmd := command(t, time.Minute, nil, append([]string{"check"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	assert.NotContains(t, out.String(), "s3cr3t", "a secret is printed")
	return out.String(), err == nil
}

// writeConfig writes a configuration to a file and returns its path.
func writeConfig(t *testing.T, yaml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(yaml), 0o600))
	return path
}

// checkedPipeline is a pipeline to check. It receives a topic and publishes to another
// one; both components are nested.
const checkedPipeline = `
input:
  broker:
    inputs:
      - label: orders
        zato_wsx: { connection: &zato { %s }, topics: [ /orders ], durable: %t, cache: "%s" }
cache_resources: [ { label: keys, memory: {} } ]
output:
  fallback: [ { resource: publisher }, { drop: {} } ]
output_resources:
  - label: publisher
    zato_wsx: { connection: *zato, topic: /paid, has_gd: true }
`

// connectionFields returns the fields of the connection in checkedPipeline.
func connectionFields(address, secret string) string {
	return fmt.Sprintf("address: %q, username: user1, secret: %q, timeout: 5s", address, secret)
}

func TestCheckOfTheQuickStartSucceeds(t *testing.T) {
	t.Setenv("ZATO_SIMULATOR_ADDRESS", streamtest.FreeAddress(t))
	out, passed := check(t, "examples/quickstart.yaml")
	require.True(t, passed, out)
	for _, line := range []string{
		"dns ok", "tcp ok", "upgrade ok", "login ok", "ping ok", "gateway ok companion services, version 1: ",
		"publish ok /geo/zones",
	} {
		assert.Contains(t, strings.Join(strings.Fields(out), " "), line)
	}
	assert.NotContains(t, out, "failed")
	assert.Equal(t, 1, strings.Count(out, "ws://"), "one connection, used three times")
}

// ungated returns a channel that is mounted on a service and not on a gateway.
func ungated(path string, service wsxtest.Service) wsxtest.Channel {
	return wsxtest.Channel{Path: path, Service: service, Username: "user1", Secret: "s3cr3t"}
}

func TestCheckSaysWhatIsWrongAndHowToFixIt(t *testing.T) {
	stock := wsxtest.Channel{Path: "/stock", Gateway: wsxtest.Stock, Username: "user1", Secret: "s3cr3t"}
	noPublish := wsxtest.Channel{Username: "user1", Secret: "s3cr3t"}
	noSubscribe := noPublish
	noPublish.Path, noPublish.NoPublish = "/no-publish", []string{"/paid"}
	noSubscribe.Path, noSubscribe.NoSubscribe = "/no-subscribe", []string{"/orders"}
	server := startZato(t, wsxtest.WithChannel(stock), wsxtest.WithChannel(noPublish), wsxtest.WithChannel(noSubscribe),
		wsxtest.WithAutoCreatedTopics(), wsxtest.WithChannel(ungated("/echo", wsxtest.Echo)),
		wsxtest.WithChannel(ungated("/fails", wsxtest.Fail)))
	expired, ca := startTLSServer(t, time.Now().Add(-time.Hour))
	unknown, _ := startTLSServer(t, time.Now().Add(time.Hour))
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts connections, nobody responds
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, silent.Close()) })
	badGateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(badGateway.Close)
	badGateway.URL = strings.Replace(badGateway.URL, "http:", "ws:", 1)
	for name, c := range map[string]struct {
		connection string
		durable    bool
		flags      []string
		line, todo string
	}{
		"a wrong secret": {
			connection: connectionFields(server.URL("/stock"), "wrong s3cr3t"),
			line:       "login failed", todo: "compare connection.username and connection.secret",
		},
		"a port without a listener": {
			connection: connectionFields("ws://"+streamtest.FreeAddress(t)+"/x", "s3cr3t"),
			line:       "tcp failed", todo: "check that the server is running",
		},
		"a silent server": {
			connection: connectionFields("ws://"+silent.Addr().String()+"/x", "s3cr3t") + ", timeout: 300ms",
			line:       "upgrade failed no answer within connection.timeout (300ms)", todo: "raise connection.timeout",
		},
		"a proxy whose server is down": {
			connection: connectionFields(badGateway.URL, "s3cr3t"),
			line:       "upgrade failed HTTP 502", todo: "check that the Zato server behind the proxy is running",
		},
		"a wrong path": {
			connection: connectionFields(server.URL("/other"), "s3cr3t"),
			line:       "upgrade failed HTTP 404", todo: "check that the path",
		},
		"an expired certificate": {
			connection: connectionFields(expired, "s3cr3t") + fmt.Sprintf(", tls: { enabled: true, root_cas: %q }", ca),
			line:       "tls failed", todo: "renew the certificate",
		},
		"a certificate of an unknown authority": {
			connection: connectionFields(unknown, "s3cr3t") + ", tls: { enabled: true }",
			line:       "tls failed", todo: "tls.root_cas_file",
		},
		"a durable subscription on a stock gateway": {
			connection: connectionFields(server.URL("/stock"), "s3cr3t"), durable: true,
			line: "gateway failed stock", todo: "mount the channel on connect.gateway",
		},
		"a channel that is not mounted on a gateway": {
			connection: connectionFields(server.URL("/echo"), "s3cr3t"),
			line:       "gateway failed the channel is not mounted on a gateway", todo: "mount the channel on connect.gateway",
		},
		"a channel whose service knows no such request": {
			connection: connectionFields(server.URL("/fails"), "s3cr3t"),
			line:       "gateway failed the channel is not mounted on a gateway", todo: "mount the channel on connect.gateway",
		},
		"no right to publish": {
			connection: connectionFields(server.URL("/no-publish"), "s3cr3t"),
			line:       "publish failed /paid", todo: "the publisher's patterns",
		},
		"no right to subscribe": {
			connection: connectionFields(server.URL("/no-subscribe"), "s3cr3t"), flags: []string{"--subscribe"},
			line: "subscribe failed /orders", todo: "the subscriber's patterns",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cache := map[bool]string{true: "keys"}[c.durable]
			connection := strings.Replace(c.connection, "timeout: 5s, timeout", "timeout", 1)
			config := writeConfig(t, fmt.Sprintf(checkedPipeline, connection, c.durable, cache))
			out, passed := check(t, append(c.flags, config)...)
			assert.False(t, passed, "the exit status is 0")
			flat := strings.Join(strings.Fields(out), " ")
			assert.Contains(t, flat, c.line)
			assert.Contains(t, flat, "-> ")
			assert.Contains(t, flat, c.todo)
			assert.Equal(t, 1, strings.Count(flat, "-> "), "there must be one remedy:\n%s", out)
		})
	}
	assert.Empty(t, server.Published())
	assert.Empty(t, server.Subscriptions())
}

func TestCheckPrintsHowLongTheCertificateIsValid(t *testing.T) {
	for left, line := range map[time.Duration]string{
		30 * 24 * time.Hour: "tls ok TLS 1.3; the certificate expires in 29 days",
		3 * 24 * time.Hour:  "tls warning TLS 1.3; the certificate expires in 2 days -> renew the certificate before",
	} {
		address, ca := startTLSServer(t, time.Now().Add(left))
		out, passed := check(t, writeConfig(t, fmt.Sprintf(`
output:
  zato_wsx:
    connection: { address: %q, username: user1, secret: secret1, tls: { enabled: true, root_cas: %q } }
    topic: ${! this.topic }
`, address, ca)))
		assert.True(t, passed, out)
		assert.Contains(t, strings.Join(strings.Fields(out), " "), line)
	}
}

func TestCheckLeavesNothingBehind(t *testing.T) {
	server := startZato(t, wsxtest.WithAutoCreatedTopics())
	config := writeConfig(t, fmt.Sprintf(checkedPipeline,
		fmt.Sprintf("address: %q, username: bridge, secret: s3cr3t", server.URL("/bridge")), true, "keys"))
	for _, args := range [][]string{{config}, {"--subscribe", config}} {
		out, passed := check(t, args...)
		require.True(t, passed, out)
		assert.Empty(t, server.Published())
		assert.Empty(t, server.Subscriptions())
	}
	assert.Equal(t, 1, server.Invocations("zato.pubsub.resume-wsx-subscription"), "--subscribe must resume it")
}

func TestCheckPrintsJSON(t *testing.T) {
	server := startZato(t, wsxtest.WithAutoCreatedTopics())
	out, passed := check(t, "--json", writeConfig(t, fmt.Sprintf(checkedPipeline,
		fmt.Sprintf("address: %q, username: bridge, secret: s3cr3t", server.URL("/bridge")), false, "")))
	require.True(t, passed, out)
	var report struct {
		OK          bool                `json:"ok"`
		Connections []checks.Connection `json:"connections"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report), out)
	assert.True(t, report.OK)
	require.Len(t, report.Connections, 1)
	assert.Equal(t, "orders", report.Connections[0].Components[0].Label)
	assert.Equal(t, "input.broker.inputs.0", report.Connections[0].Components[0].Path)
	assert.Equal(t, "output_resources.0", report.Connections[0].Components[1].Path)
	for _, r := range report.Connections[0].Results {
		assert.NotEqual(t, checks.Failed, r.Outcome, r.Check)
	}
}

func TestCheckRejectsInvalidConfigurations(t *testing.T) {
	for name, c := range map[string]struct{ yaml, expected string }{
		"an unknown field":   {"input: { zato_wsx: { topic: x } }", "topic"},
		"a missing variable": {"input: { zato_wsx: { connection: { address: '${UNSET}' }, topics: [ /t ] } }", "UNSET"},
		"no YAML":            {"input: [", "yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			out, passed := check(t, writeConfig(t, c.yaml))
			assert.False(t, passed)
			assert.Contains(t, out, c.expected)
			assert.Contains(t, out, "config.yaml")
		})
	}
	out, passed := check(t, "no-such-file.yaml")
	assert.False(t, passed)
	assert.Contains(t, out, "no-such-file.yaml")
	_, passed = check(t)
	assert.False(t, passed)
}

func TestCheckExitsPromptlyOnInterrupt(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, silent.Close()) })
	connection := connectionFields("ws://"+silent.Addr().String()+"/x", "s3cr3t")
	config := writeConfig(t, fmt.Sprintf(checkedPipeline, connection, false, ""))
	cmd := command(t, time.Minute, nil, "check", config)
	require.NoError(t, cmd.Start())
	_, err = silent.Accept() // the check has started
	require.NoError(t, err)
	interrupted := time.Now()
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	assert.Equal(t, 130, exit.ExitCode())
	assert.Less(t, time.Since(interrupted), 3*time.Second)
}

// startTLSServer starts a server with a self-signed certificate that is valid until
// notAfter. It returns the address and the certificate.
func startTLSServer(t *testing.T, notAfter time.Time) (address, certificate string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: notAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	server := wsxtest.NewServer(wsxtest.WithTLS(&tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}))
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	return server.URL("/zato.wsx.gateway"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestCheckSaysThatAProcessorNeedsAGateway(t *testing.T) {
	server := startZato(t, wsxtest.WithChannel(ungated("/echo", wsxtest.Echo)))
	for _, service := range []string{"customer.get", "${! @service }", ""} {
		out, passed := check(t, writeConfig(t, fmt.Sprintf(
			"pipeline: { processors: [ { zato_wsx: { connection: { %s }, service: '%s' } } ] }",
			connectionFields(server.URL("/echo"), "s3cr3t"), service)))
		assert.Equal(t, service == "", passed, out)
		assert.Equal(t, service != "", strings.Contains(out, "the channel is not mounted on a gateway"), out)
		assert.Equal(t, service != "", strings.Contains(out, "mount the channel on connect.gateway (zato/README.md); "), out)
	}
}

func TestRunRefusesBatchedRequests(t *testing.T) {
	config := writeConfig(t, `
input:
  batched:
    child: { zato_wsx_requests: { connection: { address: "ws://127.0.0.1:1/x" } } }
    policy: { count: 2 }
output: { drop: {} }
http: { enabled: false }`)
	out, err := command(t, time.Minute, nil, "run", config).CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "input.batched.child.zato_wsx_requests: the requests are batched")
}
