//go:build unix

package e2e_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	checks "github.com/zato-connect/zato-connect/internal/check"
	"github.com/zato-connect/zato-connect/internal/testkit/certtest"
	"github.com/zato-connect/zato-connect/internal/testkit/logtest"
	"github.com/zato-connect/zato-connect/internal/testkit/streamtest"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// difficultSecrets returns secrets that YAML, a shell or the engine could change or reject.
func difficultSecrets() []string {
	all := []string{
		"0", "0123", "0x1F", "0o17", "1e5", "1_000", "12:30:45", "-1", "+1", ".5", "6.", ".inf", ".nan",
		"null", "Null", "~", "true", "False", "yes", "no", "on", "off", "n", "2026-01-02", "2026-01-02T03:04:05Z",
		"abc #hidden", "#hidden", "hidden#", "a: hidden", "hidden:", ": hidden", "- hidden", "-", "--- hidden", "...",
		"? hidden", "[hidden", "hidden]", "{hidden", "hidden}", "{}", "[]", ", hidden", "<<", "=",
		"*hidden", "&hidden", "!hidden", "!!str hidden", "%hidden", "@hidden", "`hidden`", "|", ">-", "| hidden",
		`"hidden`, `hidden"`, `"hidden"`, `'hidden`, `'hidden'`, `it's hidden`, `hid\den`, `hidden\`, `\x41hidden`,
		"$hidden", "$HOME", "${ZATO_WSX_USERNAME}", "${hidden}", "${UNSET:hidden}", "${! hidden }", "$${hidden}", "$",
		" hidden", "hidden ", " hidden ", "\thidden", "hidden\t", "hid\nden", "\nhidden", "hidden\r",
		"żółć-hidden", "秘密hidden", "🔑hidden", "\ufeffhidden", "hidden\u00a0", "hidden\u2028", "\x01hidden\x7f",
		strings.Repeat("hidden #:'\"", 20), strings.Repeat("x", 200) + "hidden",
	}
	for _, special := range "#:-?[]{},*&!%@`|>'\"$\\~=<" {
		all = append(all, string(special), string(special)+"hidden", "hidden"+string(special))
	}
	return all
}

// namedSecret is a secret that the connection of a component finds by its field.
type namedSecret struct {
	secret, path string // path of the channel that has the secret
	field        string // as in README.md, with another variable, or a file
}

// nameSecrets starts a server with a channel for each secret and each way to name it. It
// returns the environment with the variables.
func nameSecrets(t *testing.T) (*wsxtest.Server, []namedSecret, []string) {
	t.Helper()
	env := []string{"ZATO_WSX_USERNAME=user1"}
	options := []wsxtest.Option{wsxtest.WithAutoCreatedTopics()}
	var all []namedSecret
	dir := t.TempDir()
	for i, secret := range difficultSecrets() {
		variable, file := fmt.Sprintf("SECRET_%d", i), filepath.Join(dir, strconv.Itoa(i))
		env = append(env, variable+"="+secret)
		newline := []string{"\n", "\r\n"}[i%2]
		require.NoError(t, os.WriteFile(file, []byte(secret+newline), 0o600))
		for way, field := range []string{"secret_env: " + variable, "secret_file: " + file} {
			path := fmt.Sprintf("/%d/%d", way, i)
			channel := wsxtest.Channel{Path: path, Username: "user1", Secret: secret, Gateway: wsxtest.Connect}
			options = append(options, wsxtest.WithChannel(channel))
			all = append(all, namedSecret{secret: secret, path: path, field: field})
		}
	}
	return startZato(t, options...), all, env
}

func TestReadmeConfigurationLogsInWithEverySecret(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)## Publish to a topic.*?```yaml\n(.*?)```").FindSubmatch(readme)
	require.NotNil(t, block)
	shown := string(block[1])
	require.Contains(t, shown, "secret_env: ZATO_WSX_SECRET")
	server, secrets, env := nameSecrets(t)
	require.Greater(t, len(secrets), 2*60)

	args := []string{"check", "--json"}
	expected := map[string]namedSecret{}
	for _, s := range secrets {
		expected[server.URL(s.path)] = s
		args = append(args, writeConfig(t, strings.NewReplacer(
			"wss://zato.example.com/my.wsx", server.URL(s.path), "secret_env: ZATO_WSX_SECRET", s.field).Replace(shown)))
	}
	cmd := command(t, 2*time.Minute, env, args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	require.NoError(t, cmd.Run(), "%s%s", &out, &log)
	var report struct {
		Connections []checks.Connection `json:"connections"`
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &report))
	require.Len(t, report.Connections, len(secrets))
	for _, c := range report.Connections {
		for _, r := range c.Results {
			assert.Equal(t, checks.OK, r.Outcome, "%s: %q", r.Check, expected[c.Address])
		}
	}
	assert.NotContains(t, out.String()+log.String(), "hidden")
}

func TestNoSecretIsInTheOutputOfARunAtTraceLevel(t *testing.T) {
	server, secrets, env := nameSecrets(t)
	var config strings.Builder
	config.WriteString(`
http: { enabled: false }
logger: { level: TRACE, add_timestamp: false }
input: { generate: { mapping: 'root = "x"', count: 1 } }
output:
  broker:
    outputs:
`)
	for _, s := range secrets {
		fmt.Fprintf(&config, `
      - zato_wsx:
          connection: { address: %q, username: "${ZATO_WSX_USERNAME}", %s, max_connections: 1 }
          topic: /out
`, server.URL(s.path), s.field)
	}
	out, err := command(t, 2*time.Minute, env, "run", writeConfig(t, config.String())).CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Len(t, server.Published(), len(secrets))
	assert.Contains(t, string(out), "Launching", "the log is empty")
	assert.NotContains(t, string(out), "hidden")
}

func TestUnusableSecretEndsTheRunWithAnErrorThatNamesItsSource(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for field, problem := range map[string]string{
		"secret_env: UNSET_SECRET":               "secret_env: the variable UNSET_SECRET is not set",
		`secret_env: "${ZATO_WSX_SECRET}"`:       "secret_env: no variable has this name",
		"secret_file: " + missing:                "secret_file: stat " + missing,
		"secret_env: A, secret_file: " + missing: "set only one of secret, secret_env and secret_file",
	} {
		config := writeConfig(t, `
input: { generate: { mapping: 'root = "x"', count: 1 } }
output: { zato_wsx: { connection: { address: 'ws://127.0.0.1:1/x', `+field+` }, topic: /t } }
`)
		for _, name := range []string{"run", "check"} {
			out, err := command(t, time.Minute, []string{"ZATO_WSX_SECRET=hidden"}, name, config).CombinedOutput()
			require.Error(t, err, "%s", out)
			assert.Contains(t, string(out), problem)
			assert.NotContains(t, string(out), "hidden")
		}
	}
}

// publisher publishes numbered lines through a pipeline until it is stopped.
type publisher struct {
	t       *testing.T
	log     logtest.Buffer
	stop    atomic.Bool
	written chan int // gets the number of lines when all are written
	ended   chan error
}

// startPublisher starts a process that publishes to /out. The connection object has the given
// fields. Its back-off is short, because a connection that is cut within a second counts as
// failed.
func startPublisher(t *testing.T, fields string) *publisher {
	t.Helper()
	p := &publisher{t: t, written: make(chan int, 1), ended: make(chan error, 1)}
	cmd := command(t, 5*time.Minute, nil, "run", writeConfig(t, `
http: { enabled: false }
logger: { level: DEBUG }
input: { stdin: {} }
output:
  zato_wsx:
    connection: { `+fields+`, max_connections: 1, backoff: { max_interval: 100ms } }
    topic: /out
    max_in_flight: 4
`))
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	lines, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	go func() {
		n := 0
		for !p.stop.Load() {
			if _, err := fmt.Fprintln(lines, n); err != nil {
				break
			}
			n++
		}
		_ = lines.Close() // ends the run
		p.written <- n
	}()
	go func() { p.ended <- cmd.Wait() }()
	return p
}

// finish ends the run, and fails the test if a message was lost.
func (p *publisher) finish(server *wsxtest.Server) {
	p.t.Helper()
	p.stop.Store(true)
	select {
	case err := <-p.ended:
		require.NoError(p.t, err, "%s", &p.log)
	case <-time.After(time.Minute):
		require.Fail(p.t, "the process did not end", "%s", &p.log)
	}
	published := map[string]bool{}
	for _, m := range server.Published() {
		published[string(m.Data)] = true
	}
	assert.Len(p.t, published, <-p.written, "published messages")
	assert.NotContains(p.t, p.log.String(), "hidden")
	p.t.Logf("%d messages", len(published))
}

// awaitMore waits until count returns more than before.
func (p *publisher) awaitMore(before int, count func() int) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return count() > before }, streamtest.Timeout, time.Millisecond, "%s", &p.log)
}

const rotations = 10

func TestRotatedSecretFileIsUsedWithoutARestartAndLosesNothing(t *testing.T) {
	t.Parallel()
	server := startZato(t)
	path := filepath.Join(t.TempDir(), "secret")
	rotate := func(secret string) { require.NoError(t, os.WriteFile(path, []byte(secret), 0o600)) }
	rotate("s3cr3t")
	p := startPublisher(t, fmt.Sprintf("address: %q, username: bridge, secret_file: %q", server.URL("/bridge"), path))
	p.awaitMore(0, func() int { return len(server.Published()) })
	refused := func() int { return server.LoginAttempts() - server.SessionsOpened() }
	for i := range rotations {
		secret := fmt.Sprintf("hidden %d", i)
		sessions, refusedBefore := server.SessionsOpened(), refused()
		published := len(server.Published())
		if fileFirst := i%2 == 0; fileFirst {
			rotate(secret)
			server.SetSecret("/bridge", secret)
			server.Cut()
			p.awaitMore(sessions, server.SessionsOpened)
			assert.Equal(t, refusedBefore, refused(), "the new secret is used for the next login")
		} else {
			server.SetSecret("/bridge", secret)
			server.Cut()
			p.awaitMore(refusedBefore, refused)
			rotate(secret)
			p.awaitMore(sessions, server.SessionsOpened)
		}
		p.awaitMore(published, func() int { return len(server.Published()) })
	}
	p.finish(server)
}

func TestRotatedClientCertificateIsUsedWithoutARestartAndLosesNothing(t *testing.T) {
	t.Parallel()
	authority := certtest.NewAuthority(t)
	var current atomic.Value // common name of the only certificate that the server accepts
	current.Store("first")
	wrong := errors.New("another certificate is needed")
	server := startZato(t, wsxtest.WithTLS(&tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{authority.Issue(t, "server").TLS},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    authority.Pool(),
		VerifyConnection: func(state tls.ConnectionState) error {
			if state.PeerCertificates[0].Subject.CommonName != current.Load() {
				return wrong
			}
			return nil
		},
	}))
	dir := t.TempDir()
	ca, cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(ca, authority.PEM(), 0o600))
	authority.Issue(t, "first").Write(t, cert, key)
	p := startPublisher(t, fmt.Sprintf("address: %q, username: bridge, secret: s3cr3t, tls: { enabled: true, "+
		"root_cas_file: %q, client_certs: [ { cert_file: %q, key_file: %q } ] }", server.URL("/bridge"), ca, cert, key))
	p.awaitMore(0, func() int { return len(server.Published()) })
	for i := range rotations {
		name := fmt.Sprintf("client %d", i)
		sessions, published := server.SessionsOpened(), len(server.Published())
		authority.Issue(t, name).Write(t, cert, key)
		current.Store(name)
		server.Cut()
		p.awaitMore(sessions, server.SessionsOpened)
		p.awaitMore(published, func() int { return len(server.Published()) })
	}

	certificate, err := os.ReadFile(cert)
	require.NoError(t, err)
	require.NoError(t, os.Remove(cert))
	sessions := server.SessionsOpened()
	server.Cut()
	require.Eventually(t, func() bool {
		return strings.Contains(p.log.String(), "connection.tls: reading "+ca+", "+cert)
	}, streamtest.Timeout, time.Millisecond)
	require.NoError(t, os.WriteFile(cert, certificate, 0o600))
	p.awaitMore(sessions, server.SessionsOpened)
	p.finish(server)
}
