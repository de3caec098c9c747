// Package config defines and parses the configuration fields that all zato_wsx components
// share, above all the connection object.
package config

import (
	"fmt"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// FieldConnection is the name of the connection object, which every component has. Its fields
// have the names that Zato's own clients use.
const FieldConnection = "connection"

const (
	fieldAddress            = "address"
	fieldUsername           = "username"
	fieldSecret             = "secret"
	fieldSecretEnv          = "secret_env"
	fieldSecretFile         = "secret_file"
	fieldClientID           = "client_id"
	fieldClientName         = "client_name"
	fieldAttributes         = "attributes"
	fieldTimeout            = "timeout"
	fieldMaxConnections     = "max_connections"
	fieldPingInterval       = "ping_interval"
	fieldCallsPerConnection = "calls_per_connection"
	fieldMaxMessageSize     = "max_message_size"
	fieldTLS                = "tls"
	fieldProxyURL           = "proxy_url"
	fieldHeaders            = "headers"
	fieldBackOff            = "backoff"
	fieldInitialInterval    = "initial_interval"
	fieldMaxInterval        = "max_interval"
)

const defaultMaxConnections = 8

// FieldGateway is the name of the field of the connection object that says what the channel is
// mounted on.
const FieldGateway = "gateway"

// The values of FieldGateway.
const (
	gatewayAuto    = "auto"
	GatewayStock   = "stock"
	GatewayConnect = "connect"
)

// lintConnection rejects a secret with several sources, and settings that would send the
// secret unencrypted.
const lintConnection = `let inline = this.secret.or("") != ""
let variable = this.secret_env.or("") != ""
let file = this.secret_file.or("") != ""
root = if ($inline && $variable) || ($inline && $file) || ($variable && $file) {
  [ "set only one of secret, secret_env and secret_file" ]
} else if this.address.or("").lowercase().has_prefix("ws://") && this.tls.enabled.or(false) {
  [ "tls is enabled but the address begins with ws://, which sends the secret unencrypted: use wss://" ]
}`

// lintProxyURL rejects what the parser of the field rejects. It does not repeat the URL,
// which may contain a password.
const lintProxyURL = `root = if this != "" && this.parse_url().host.catch("") == "" {
  [ "proxy_url: is not a URL with a host: use a URL such as http://host:port" ]
}`

// lintAttributes rejects what wsx.Config.Validate rejects. A rule of a map also runs for each
// of its values.
const lintAttributes = `root = if this.type() == "object" {
  this.key_values().
    filter(a -> a.key == "" || a.key.re_match("[=\r\n]") || a.value.string().re_match("[\r\n]")).
    sort_by(a -> a.key).
    map_each(a -> "attributes: " + a.key.quote() + ": a key must not be empty or contain \"=\", " +
      "and neither a key nor a value may contain a line break")
}`

// lintAddress returns a lint rule that rejects the addresses that wsx.Config.Validate
// rejects, with the same words. It does not repeat the address, which may contain a password.
func lintAddress() string {
	return fmt.Sprintf(`let url = this.parse_url().catch(null)
let ports = this.re_find_all_submatch("^(?i:wss?)://[^/?#]*:([^/?#:\\]]*)(?:[/?#]|$)").map_each(m -> m.index(1))
root = if this == "" {
  [ %q ]
} else if this.re_match("^(?i:wss?)://[^/?#]*@") {
  [ %q ]
} else if this.re_match("^(?i:wss?)://[^/?#\\[]*:[^/?#\\[]*:") {
  [ %q ]
} else if $ports.any(p -> !p.re_match("^[0-9]+$") || p.number() < 1 || p.number() > 65535) {
  [ %q ]
} else if $url == null {
  [ %q ]
} else if $url.scheme != "ws" && $url.scheme != "wss" {
  [ "address: has the scheme " + $url.scheme.quote() + ": use ws:// or wss://" ]
} else if $url.host == "" || $url.host.has_prefix(":") {
  [ %q ]
}`, addressError(""), addressError("ws://user@host"), addressError("ws://::1"), addressError("ws://host:0"),
		addressError("ws://ho st"), addressError("ws:///path"))
}

// addressError returns the text of the error for an invalid address.
func addressError(address string) string {
	err := wsx.Config{Address: address}.Validate()
	if err == nil {
		return ""
	}
	return err.Error()
}

// ConnectionField returns the connection object.
func ConnectionField() *service.ConfigField {
	return service.NewObjectField(FieldConnection, connectionFields()...).
		Description("The WebSocket channel of Zato to connect to. Components of a stream with equal `connection` " +
			"objects share one pool of connections. In streams mode, each stream has its own. Write numbers and " +
			"booleans without quotes, also if they come from variables: `max_connections: ${MAX_CONNECTIONS:8}`. To write " +
			"the object only once, use a YAML anchor: `connection: &zato { ... }` in the first " +
			"component and `connection: *zato` in the others.").
		LintRule(lintConnection)
}

func connectionFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewStringField(fieldAddress).
			Description("The URL of the channel: `ws://host:port/path`, or `wss://host:port/path` for TLS.").
			Example("ws://localhost:48902/my.wsx").Example("wss://zato.example.com/my.wsx").
			LintRule(lintAddress()),
		service.NewStringField(fieldUsername).
			Description("The username in the channel's security definition. Leave it empty if the channel has none.").
			Default(""),
		service.NewStringField(fieldSecret).
			Description("The password or secret for the username. To read it from elsewhere, use `secret_env` or " +
				"`secret_file`; set only one of the three. Do not write `${VARIABLE}` here: the engine pastes the value " +
				"into the YAML before it parses it, so values such as `0123` or `abc #def` are changed or rejected.").
			Default("").Secret(),
		service.NewStringField(fieldSecretEnv).
			Description("The name of an environment variable that contains the secret, without `$`. The secret may " +
				"contain any characters.").
			Example("ZATO_WSX_SECRET").Default(""),
		service.NewStringField(fieldSecretFile).
			Description("The path of a file that contains the secret, as UTF-8 text of at most 64 KiB. One newline at the " +
				"end is removed. The file is read again for each login, so a rotated secret needs no restart. If the " +
				"login is refused, a new content is used within about a second.").
			Example("/run/secrets/zato").Default(""),
		service.NewStringAnnotatedEnumField(FieldGateway, map[string]string{
			gatewayAuto: "Ask the gateway what it can do, and use what it offers.",
			GatewayStock: "Use only what the gateway that Zato ships offers. For the `zato_wsx` input, Zato pushes messages " +
				"without acknowledgements.",
			GatewayConnect: "Require the companion services. A channel that is not mounted on `connect.gateway` is rejected.",
		}).
			Description("What the channel is mounted on: the gateway that Zato ships, or `connect.gateway` of the companion " +
				"services (zato/README.md). With the companion services, the `zato_wsx` input can fetch messages, and then " +
				"loses none, also when the process is killed.").
			Default(gatewayAuto),
		service.NewStringField(fieldClientID).
			Description("The id of this client in Zato. The default contains the host's name and is different for " +
				"each process, and in streams mode for each stream.").
			Default(""),
		service.NewStringField(fieldClientName).
			Description("A human-readable name of this client in Zato. The default is the client id.").
			Default("").Advanced(),
		service.NewStringMapField(fieldAttributes).
			Description("Attributes of this client. Services in Zato can select clients by them.").
			Example(map[string]any{"region": "eu", "shard": "7"}).
			Default(map[string]any{}).Advanced().LintRule(lintAttributes),
		service.NewDurationField(fieldTimeout).
			Description("The time limit for opening a connection: TCP, TLS, the WebSocket upgrade and the login " +
				"together.").
			Default(wsx.DefaultTimeout.String()).LintRule(LintDuration),
		service.NewIntField(fieldMaxConnections).
			Description("The maximum number of connections for calls: invocations of services and publications of " +
				"messages. Zato handles the requests of one connection one at a time, so parallel calls need several " +
				"connections. They are opened when needed and closed after about a minute without calls. Each subscription " +
				"has an additional connection.").
			Default(defaultMaxConnections).LintRule(LintPositive),
		service.NewDurationField(fieldPingInterval).
			Description("The time between two pings to the server. A connection is replaced if nothing was received " +
				"on it for two intervals plus fifteen seconds.").
			Default(wsx.DefaultPingInterval.String()).Advanced().LintRule(LintDuration),
		service.NewIntField(fieldCallsPerConnection).
			Description("The maximum number of calls on one connection that wait for an answer. A value above 1 helps " +
				"only if the network latency is long compared with the time that services take.").
			Default(wsx.DefaultCallsPerConnection).Advanced().LintRule(LintPositive),
		service.NewIntField(fieldMaxMessageSize).
			Description("The maximum size of a received WebSocket frame in bytes. A larger frame ends the connection.").
			Default(wsx.DefaultMaxMessageSize).Advanced().LintRule(LintPositive),
		service.NewTLSToggledField(fieldTLS).
			Description("The settings for TLS. Files that they name are read again for each connection, so a rotated " +
				"certificate needs no restart."),
		service.NewStringField(fieldProxyURL).
			Description("The URL of an HTTP or SOCKS5 proxy to connect through.").
			Example("http://proxy.example.com:3128").
			Default("").Advanced().LintRule(lintProxyURL),
		service.NewStringMapField(fieldHeaders).
			Description("Additional HTTP headers of the WebSocket upgrade request.").
			Default(map[string]any{}).Advanced(),
		service.NewObjectField(fieldBackOff,
			service.NewDurationField(fieldInitialInterval).
				Description("The upper bound of the wait before the second attempt. It doubles with each further attempt.").
				Default(wsx.DefaultInitialBackOff.String()).LintRule(LintDuration),
			service.NewDurationField(fieldMaxInterval).
				Description("The maximum of that upper bound.").
				Default(wsx.DefaultMaxBackOff.String()).LintRule(LintDuration),
		).
			Description("The waits between attempts to connect. Each wait is random, between zero and an upper bound, so " +
				"that clients that lost the server at the same time do not return at the same time. For thirty seconds " +
				"after a connection was lost, the upper bound is two seconds at most, or the initial interval. If a proxy " +
				"asks for a wait with `Retry-After`, the wait is at least that long, but not longer than the maximum. There " +
				"is no limit on the number of attempts.").
			Advanced(),
	}
}

// LintDuration is a lint rule that rejects what ParseDuration rejects: text that is not a
// duration, and durations shorter than minDuration. It uses no Bloblang method that some
// binaries lack.
const LintDuration = `let text = this.string().trim_prefix("+")
let units = { "ns": 0.000001, "us": 0.001, "µs": 0.001, "μs": 0.001, "ms": 1, "s": 1000, "m": 60000, "h": 3600000 }
let parts = $text.re_find_all_submatch("([0-9]+\\.?[0-9]*|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
root = if $text.re_match("^(-.*|0+[a-zµ]*)$") {
  [ "must be longer than zero" ]
} else if !$text.re_match("^(([0-9]+\\.?[0-9]*|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$") {
  [ "is not a duration: use a number with a unit, such as 500ms or 10s" ]
} else if $parts.map_each(p -> p.index(1).number() * $units.get(p.index(2))).sum() < 1 {
  [ "must be 1ms or longer" ]
}`

// LintPositive is a lint rule that rejects numbers below 1.
const LintPositive = `root = if this < 1 { [ "must be at least 1" ] }`

// minDuration is the shortest duration that a field accepts.
const minDuration = time.Millisecond
