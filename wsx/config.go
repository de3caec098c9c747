package wsx

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The defaults of Config.
const (
	DefaultTimeout        = 10 * time.Second
	DefaultCallTimeout    = 30 * time.Second
	DefaultPingInterval   = 30 * time.Second
	DefaultMaxMessageSize = 32 << 20
	DefaultPrefetchCount  = 1
	DefaultInitialBackOff = 500 * time.Millisecond
	DefaultMaxBackOff     = 30 * time.Second
	// DefaultRequestTimeout is a little less than the five seconds that the server waits
	// for a response, so that an error reaches it in time.
	DefaultRequestTimeout = 4500 * time.Millisecond
	// DefaultCallsPerConnection is 1 because the server runs one request of a connection
	// at a time. More would only wait in the socket.
	DefaultCallsPerConnection = 1
)

// Config configures a Client. Only Address is required. The zero value of any other
// field selects its default. The names are those of the official client.
type Config struct {
	// Address of the channel: ws://host:port/path or wss://host:port/path.
	Address string
	// Username and Secret are the credentials. Leave both empty on a channel without
	// credentials.
	Username string
	Secret   Secret
	// SecretFunc returns the secret for each login. Set it instead of Secret if the secret
	// may change. While the server refuses a secret or SecretFunc fails, the client also
	// calls it every second, and tries again as soon as it returns another secret. It must
	// return when ctx ends. Its errors are logged, so they must not contain the secret.
	// Clients call it from one goroutine each.
	SecretFunc func(ctx context.Context) (Secret, error)
	// ClientID names this client to the server. Several connections may share it. The
	// default is a random id for each client.
	ClientID string
	// ClientName is a name for people. The default is ClientID.
	ClientName string
	// Gateway says what the channel is mounted on. The default is GatewayAuto.
	Gateway Gateway
	// Attributes let services at the server find this client. A key must not contain "=".
	// Neither a key nor a value may contain a line break.
	Attributes map[string]string

	// Timeout bounds TCP, TLS, upgrade and login together.
	Timeout time.Duration
	// CallTimeout bounds a call whose context has no deadline.
	CallTimeout time.Duration
	// PingInterval is the time between the client's pings. A connection fails if nothing
	// arrives for two intervals and fifteen seconds.
	PingInterval time.Duration
	// MaxMessageSize is the size of the largest frame that is read, in bytes. A larger
	// one ends the connection.
	MaxMessageSize int64
	// CallsPerConnection is how many calls may wait for an answer at once.
	CallsPerConnection int
	// PrefetchCount is how many frames of messages may wait for Receive. While that many
	// wait, the socket is not read. If it is more than 1, frames of more than 64 KiB are
	// decoded in parallel.
	PrefetchCount int
	// InitialBackOff and MaxBackOff bound the wait before the next attempt to connect.
	// The bound doubles with each attempt. The wait is random, from zero to the bound. For
	// thirty seconds after a connection was lost, the bound is two seconds at most, or
	// InitialBackOff. If a proxy answers with Retry-After, the wait is at least that long,
	// but not longer than MaxBackOff.
	InitialBackOff, MaxBackOff time.Duration

	// TLS is for wss:// addresses. The default is Go's.
	TLS *tls.Config
	// TLSFunc returns the TLS configuration for each connection. Set it instead of TLS if
	// certificates may change. It must not block. After an error, the client calls it every
	// second until it succeeds.
	TLSFunc func() (*tls.Config, error)
	// ProxyURL is an HTTP or SOCKS5 proxy. The default is none.
	ProxyURL *url.URL
	// Headers are sent with the WebSocket upgrade.
	Headers http.Header
	// Dial opens the TCP connection. The default is that of net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Logger logs the events of the connection. It logs no secrets and nothing for each
	// message. The default discards everything.
	Logger *slog.Logger
	// ConnectionLogger logs that the connection is lost, is rejected or is ready again. It is
	// Logger by default. A program that reports the states of OnState itself can discard or
	// demote these lines.
	ConnectionLogger *slog.Logger
	// OnState is called at every change of state, with the reason if the client has no
	// connection. Only one goroutine calls it at a time. It must not block.
	OnState func(State, error)
	// OnLateAnswer is called when the server answers a call whose caller gave up. The call
	// no longer counts in Client.Abandoned. It must not block.
	OnLateAnswer func()
	// OnSubscribed is called with every new subscription and its key. It is also called
	// if a reconnect had to replace a subscription. It must not block.
	OnSubscribed func(Subscription)
	// Persist is called with the text of each frame of messages, before the frame is
	// decoded, so that a program can store what Zato will not send again. It may return a
	// function, which Frame.Done calls. The goroutine that reads the socket calls Persist
	// and waits for it. Persist must not change the text.
	Persist func(raw []byte) (release func())
	// OnRequest responds to requests from the server. The default responds with null.
	// See ServerRequestHandler.
	OnRequest ServerRequestHandler
	// RequestTimeout is how long OnRequest may take. After that the client responds with
	// an error.
	RequestTimeout time.Duration
}

// withDefaults returns a copy with the defaults filled in.
func (c Config) withDefaults() Config {
	setDefault(&c.Timeout, DefaultTimeout)
	setDefault(&c.CallTimeout, DefaultCallTimeout)
	setDefault(&c.PingInterval, DefaultPingInterval)
	setDefault(&c.MaxMessageSize, DefaultMaxMessageSize)
	setDefault(&c.CallsPerConnection, DefaultCallsPerConnection)
	setDefault(&c.PrefetchCount, DefaultPrefetchCount)
	setDefault(&c.InitialBackOff, DefaultInitialBackOff)
	setDefault(&c.MaxBackOff, DefaultMaxBackOff)
	setDefault(&c.RequestTimeout, DefaultRequestTimeout)
	setDefault(&c.ClientID, "wsx."+randomHex(6))
	setDefault(&c.ClientName, c.ClientID)
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.ConnectionLogger == nil {
		c.ConnectionLogger = c.Logger
	}
	if c.OnState == nil {
		c.OnState = func(State, error) {}
	}
	if c.OnLateAnswer == nil {
		c.OnLateAnswer = func() {}
	}
	if c.OnSubscribed == nil {
		c.OnSubscribed = func(Subscription) {}
	}
	if c.OnRequest == nil {
		c.OnRequest = answerNull
	}
	c.Headers = c.Headers.Clone()
	return c
}

// Validate returns everything that is wrong with the configuration. Each error is an
// *InvalidError that names its field.
func (c Config) Validate() error {
	errs := []error{c.validateAddress(), c.validateAttributes(), c.validateText(), c.validateSources()}
	for _, d := range []struct {
		name  string
		value int64
	}{
		{"timeout", int64(c.Timeout)},
		{"call timeout", int64(c.CallTimeout)},
		{"ping_interval", int64(c.PingInterval)},
		{"request timeout", int64(c.RequestTimeout)},
		{"backoff.initial_interval", int64(c.InitialBackOff)},
		{"backoff.max_interval", int64(c.MaxBackOff)},
		{"max_message_size", c.MaxMessageSize},
		{"calls_per_connection", int64(c.CallsPerConnection)},
		{"prefetch_count", int64(c.PrefetchCount)},
	} {
		if d.value < 0 {
			errs = append(errs, &InvalidError{d.name, "must not be negative"})
		}
	}
	if c.Gateway < GatewayAuto || c.Gateway > GatewayConnect {
		errs = append(errs, &InvalidError{"gateway", fmt.Sprintf("is %d: use one of the constants", c.Gateway)})
	}
	return errors.Join(errs...)
}

// These patterns find mistakes in the host and the port of an address that url.Parse accepts
// or describes badly.
var (
	addressUser     = regexp.MustCompile(`^(?i:wss?)://[^/?#]*@`)
	addressBareIPv6 = regexp.MustCompile(`^(?i:wss?)://[^/?#\[]*:[^/?#\[]*:`)
	addressPort     = regexp.MustCompile(`^(?i:wss?)://[^/?#]*:([^/?#:\]]*)(?:[/?#]|$)`)
)

// validateAddress checks the address. No error repeats it, because it may contain a password.
func (c Config) validateAddress() error {
	const field = "address"
	u, err := url.Parse(c.Address)
	switch {
	case c.Address == "":
		return &InvalidError{field, "is empty: use ws://host:port/path or wss://host:port/path"}
	case addressUser.MatchString(c.Address):
		return &InvalidError{field, "contains a user or a password: use the fields username and secret"}
	case addressBareIPv6.MatchString(c.Address):
		return &InvalidError{field, "has an IPv6 address without brackets: use ws://[::1]:port/path"}
	case !validPort(c.Address):
		return &InvalidError{field, "has an invalid port: use a number from 1 to 65535"}
	case err != nil:
		return &InvalidError{field, "is not a URL: use ws://host:port/path or wss://host:port/path"}
	case u.Scheme != "ws" && u.Scheme != "wss":
		return &InvalidError{field, fmt.Sprintf("has the scheme %q: use ws:// or wss://", u.Scheme)}
	case u.Hostname() == "":
		return &InvalidError{field, "has no host: use ws://host:port/path or wss://host:port/path"}
	case u.Scheme == "ws" && (c.TLS != nil || c.TLSFunc != nil):
		return &InvalidError{field, "is ws:// while TLS is configured: use wss://, or the secret is sent unencrypted"}
	}
	return nil
}

// validateSources rejects a credential that has two sources.
func (c Config) validateSources() error {
	if c.Secret != "" && c.SecretFunc != nil {
		return &InvalidError{"secret", "is set together with SecretFunc: set only one of them"}
	}
	if c.TLS != nil && c.TLSFunc != nil {
		return &InvalidError{"tls", "is set together with TLSFunc: set only one of them"}
	}
	return nil
}

// validPort reports whether the port of an address is valid or missing.
func validPort(address string) bool {
	found := addressPort.FindStringSubmatch(address)
	if found == nil {
		return true
	}
	port, err := strconv.ParseUint(found[1], 10, 16)
	return err == nil && port > 0
}

func (c Config) validateAttributes() error {
	for _, k := range sortedKeys(c.Attributes) {
		if k == "" || strings.ContainsAny(k, "=\r\n") || strings.ContainsAny(c.Attributes[k], "\r\n") {
			problem := fmt.Sprintf("%q: a key must not be empty or contain \"=\", "+
				"and neither a key nor a value may contain a line break", k)
			return &InvalidError{"attributes", problem}
		}
	}
	return nil
}

func (c Config) validateText() error {
	fields := []struct{ name, value string }{
		{"username", c.Username},
		{"secret", c.Secret.Reveal()},
		{"client_id", c.ClientID},
		{"client_name", c.ClientName},
		{"attributes", attrs(c.Attributes)},
	}
	for _, f := range fields {
		if !utf8.ValidString(f.value) {
			return &InvalidError{f.name, "is not valid UTF-8"}
		}
	}
	return nil
}

// attrs formats attributes as the server expects them, as lines of key=value. An object
// would break the login (docs/protocol.md, "Session").
func attrs(m map[string]string) string {
	lines := make([]string, 0, len(m))
	for _, k := range sortedKeys(m) {
		lines = append(lines, k+"="+m[k])
	}
	return strings.Join(lines, "\n")
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// randomHex returns n random bytes as hexadecimal digits.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}
