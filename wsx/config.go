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
	"sort"
	"strings"
	"time"
	"unicode/utf8"
)

// Defaults of Config, for whoever documents them.
const (
	DefaultTimeout        = 10 * time.Second
	DefaultCallTimeout    = 30 * time.Second
	DefaultPingInterval   = 30 * time.Second
	DefaultMaxMessageSize = 32 << 20
	DefaultPrefetchCount  = 1
	DefaultInitialBackOff = 500 * time.Millisecond
	DefaultMaxBackOff     = 30 * time.Second
	// DefaultRequestTimeout is a little less than the five seconds that the
	// server waits for an answer, so that an error reaches it in time.
	DefaultRequestTimeout = 4500 * time.Millisecond
	// DefaultCallsPerConnection is 1 because the server runs one request of a
	// connection at a time: more would only wait in the socket.
	DefaultCallsPerConnection = 1
)

// Config is what a Client needs to know. Address alone is required; every
// other field has a default. The names are the official client's.
type Config struct {
	// Address of the channel: ws://host:port/path or wss://host:port/path.
	Address string
	// Username and Secret open the session. Both are left empty on a channel
	// without credentials.
	Username string
	Secret   Secret
	// ClientID names this client to the server. Several connections may use one.
	// The default is made up anew for each client.
	ClientID string
	// ClientName is a name for people. The default is ClientID.
	ClientName string
	// Attributes let services at the server find this client. A key holds no
	// "=" and neither key nor value holds a line break.
	Attributes map[string]string

	// Timeout bounds TCP, TLS, upgrade and login together.
	Timeout time.Duration
	// CallTimeout bounds every call whose context has no deadline.
	CallTimeout time.Duration
	// PingInterval is how often the client pings the server. A link on which
	// nothing at all came for two intervals and fifteen seconds is dead.
	PingInterval time.Duration
	// MaxMessageSize is the largest frame that is read, in bytes. A larger one
	// ends the connection.
	MaxMessageSize int64
	// CallsPerConnection is how many calls may wait for an answer at once.
	CallsPerConnection int
	// PrefetchCount is how many frames of messages may wait for Receive. While
	// as many wait, the socket is not read. Those of more than 64 KiB among them are
	// decoded beside each other.
	PrefetchCount int
	// InitialBackOff and MaxBackOff bound the time to the next attempt to
	// connect. It doubles each time, and the wait is drawn between zero and it.
	InitialBackOff, MaxBackOff time.Duration

	// TLS is for wss:// addresses. The default is Go's.
	TLS *tls.Config
	// ProxyURL is an HTTP or SOCKS5 proxy. The default is none.
	ProxyURL *url.URL
	// Headers are sent along with the WebSocket upgrade.
	Headers http.Header
	// Dial opens the TCP connection. The default is net.Dialer's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Logger receives what happens to the connection: never a secret, nothing
	// for each message. The default discards it.
	Logger *slog.Logger
	// OnState is told of every change of state, with the cause where there is
	// one. It is called by one goroutine at a time and must not block.
	OnState func(State, error)
	// OnLateAnswer is called when the server answers a call whose caller gave up. The call no
	// longer counts in Client.Abandoned. OnLateAnswer must not block.
	OnLateAnswer func()
	// OnSubscribed is told of every subscription that was made anew, with its key,
	// also of those made after a reconnect because the former one was gone. It must
	// not block.
	OnSubscribed func(Subscription)
	// Persist is given the text of each frame of messages as soon as it was read, before
	// it is decoded, so that a program can keep what Zato will not send again. It may
	// return what is to be called when the frame need not be kept any more, which
	// Frame.Done does. It is called by the goroutine that reads the socket, which
	// waits for it, and must not change the text.
	Persist func(raw []byte) (release func())
	// OnRequest answers requests from the server. Without it every request is
	// answered with null. See ServerRequestHandler.
	OnRequest ServerRequestHandler
	// RequestTimeout is how long OnRequest may take. After it the server is
	// answered with an error.
	RequestTimeout time.Duration
}

// withDefaults returns a copy with every default filled in.
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

// Validate lists everything that is wrong with the configuration. Each fault
// is an *InvalidError that names its field.
func (c Config) Validate() error {
	faults := []error{c.validateAddress(), c.validateAttributes(), c.validateText()}
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
			faults = append(faults, &InvalidError{d.name, "must not be negative"})
		}
	}
	return errors.Join(faults...)
}

func (c Config) validateAddress() error {
	const field = "address"
	u, err := url.Parse(c.Address)
	if err != nil {
		// The parser's own error repeats the address, which may hold a password.
		return &InvalidError{field, "is not a URL: use ws://host:port/path or wss://host:port/path"}
	}
	switch {
	case c.Address == "":
		return &InvalidError{field, "is empty: use ws://host:port/path or wss://host:port/path"}
	case u.Scheme != "ws" && u.Scheme != "wss":
		return &InvalidError{field, fmt.Sprintf("has the scheme %q: use ws:// or wss://", u.Scheme)}
	case u.Host == "":
		return &InvalidError{field, "has no host: use ws://host:port/path or wss://host:port/path"}
	case u.User != nil:
		return &InvalidError{field, "holds a user or a password: use the fields username and secret"}
	case u.Scheme == "ws" && c.TLS != nil:
		return &InvalidError{field, "is ws:// while TLS is configured: the secret would go out in clear; use wss://"}
	}
	return nil
}

func (c Config) validateAttributes() error {
	for _, k := range sortedKeys(c.Attributes) {
		if k == "" || strings.ContainsAny(k, "=\r\n") || strings.ContainsAny(c.Attributes[k], "\r\n") {
			problem := fmt.Sprintf("%q: a key is not empty and holds no \"=\", and neither key nor value holds a line break", k)
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

// attrs renders attributes as the server wants them: a text of key=value
// lines. As an object they break the login (docs/protocol.md, "Session").
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
