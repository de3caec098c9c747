// Package config describes how a pipeline's configuration names a connection to
// Zato: the fields that all zato_wsx components share, and what they become.
package config

import (
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// FieldConnection is the object that every component has. Its fields have the
// names that Zato's own clients use.
const FieldConnection = "connection"

const (
	fieldAddress            = "address"
	fieldUsername           = "username"
	fieldSecret             = "secret"
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

// The lint rules refuse what would send the secret in clear or into a log.
const (
	lintAddress = `root = if this == "" {
  [ "the address is empty: use ws://host:port/path or wss://host:port/path" ]
} else if !this.re_match("^wss?://[^/]") {
  [ "the address must begin with ws:// or wss:// and name a host" ]
} else if this.re_match("^wss?://[^/]*@") {
  [ "the address holds a user or a password: use the fields username and secret" ]
}`
	lintTLS = `root = if this.address.or("").has_prefix("ws://") && this.tls.enabled.or(false) {
  [ "tls is enabled but the address begins with ws://: use wss://, or the secret would go out in clear" ]
}`
)

// ConnectionField is the connection object.
func ConnectionField() *service.ConfigField {
	return service.NewObjectField(FieldConnection, connectionFields()...).
		Description("How to reach a WebSocket channel of Zato. Components with equal `connection` objects share one " +
			"pool of connections, so an anchor is a good way to write it: `connection: &zato { ... }` in the first " +
			"and `connection: *zato` in the others.").
		LintRule(lintTLS)
}

func connectionFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewStringField(fieldAddress).
			Description("The address of the channel.").
			Example("ws://localhost:48902/my.wsx").Example("wss://zato.example.com/my.wsx").
			LintRule(lintAddress),
		service.NewStringField(fieldUsername).
			Description("The username of the channel's security definition. Empty for a channel without one.").
			Default(""),
		service.NewStringField(fieldSecret).
			Description("The secret that goes with the username.").
			Default("").Secret(),
		service.NewStringField(fieldClientID).
			Description("The id by which Zato knows this client. By default one is made up from the host's name, " +
				"different for each process.").
			Default(""),
		service.NewStringField(fieldClientName).
			Description("A name of this client for people. By default the client id.").
			Default("").Advanced(),
		service.NewStringMapField(fieldAttributes).
			Description("Attributes by which services at the server can find this client.").
			Example(map[string]any{"region": "eu", "shard": "7"}).
			Default(map[string]any{}).Advanced(),
		service.NewDurationField(fieldTimeout).
			Description("How long a connection may take to be ready: TCP, TLS, upgrade and login together.").
			Default(wsx.DefaultTimeout.String()).LintRule(LintDuration),
		service.NewIntField(fieldMaxConnections).
			Description("How many connections calls may use at once. They are opened when they are needed, for the " +
				"server runs one request of a connection at a time, and closed when they are idle. Each subscription " +
				"has one more of its own.").
			Default(defaultMaxConnections).LintRule(LintPositive),
		service.NewDurationField(fieldPingInterval).
			Description("How often the server is asked for a sign of life. A connection on which nothing came for two " +
				"intervals and fifteen seconds is replaced.").
			Default(wsx.DefaultPingInterval.String()).Advanced().LintRule(LintDuration),
		service.NewIntField(fieldCallsPerConnection).
			Description("How many calls may wait for their answers on one connection. More than one pays only where " +
				"the way to the server is long beside the time that services take.").
			Default(wsx.DefaultCallsPerConnection).Advanced().LintRule(LintPositive),
		service.NewIntField(fieldMaxMessageSize).
			Description("The largest frame to accept, in bytes. A larger one ends the connection.").
			Default(wsx.DefaultMaxMessageSize).Advanced().LintRule(LintPositive),
		service.NewTLSToggledField(fieldTLS),
		service.NewStringField(fieldProxyURL).
			Description("An HTTP or SOCKS5 proxy to connect through.").
			Example("http://proxy.example.com:3128").
			Default("").Advanced(),
		service.NewStringMapField(fieldHeaders).
			Description("HTTP headers to send along with the upgrade to a WebSocket.").
			Default(map[string]any{}).Advanced(),
		service.NewObjectField(fieldBackOff,
			service.NewDurationField(fieldInitialInterval).
				Description("The longest wait before the second attempt. It doubles with every further attempt.").
				Default(wsx.DefaultInitialBackOff.String()).LintRule(LintDuration),
			service.NewDurationField(fieldMaxInterval).
				Description("The longest wait of all.").
				Default(wsx.DefaultMaxBackOff.String()).LintRule(LintDuration),
		).
			Description("How long to wait between attempts to connect. Each wait is drawn between zero and the current " +
				"longest one, so that clients which lost a server together do not return together. There is no last " +
				"attempt.").
			Advanced(),
	}
}

// LintDuration refuses durations that are not longer than zero. It uses no method
// that a binary may lack.
const LintDuration = `root = if this.string().re_match("^(-.*|0+[a-zµ]*)$") { [ "must be longer than zero" ] }`

// LintPositive refuses numbers below 1.
const LintPositive = `root = if this < 1 { [ "must be at least 1" ] }`

// minimum is the shortest duration that makes sense for a field.
const minimum = time.Millisecond
