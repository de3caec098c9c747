package wsxtest

import (
	"crypto/tls"
	"time"
)

// Gateway is the kind of service that a channel is mounted on.
type Gateway int

// The gateways. The zero value is the one on which everything works.
const (
	// Mended is a gateway whose subscriptions can be durable and resumed.
	Mended Gateway = iota
	// Stock is the gateway of Zato 3.2 and 3.3: subscribing durably and resuming
	// always fail with status 500 (publish-subscribe, resume-stock).
	Stock
)

// Channel is one WebSocket channel.
type Channel struct {
	// Path is where clients connect.
	Path string
	// Username and Secret open a session. Both empty: no credentials needed.
	Username, Secret string
	// Gateway is what the channel is mounted on, unless Service is set.
	Gateway Gateway
	// Service, if set, is the one service that the channel is mounted on.
	Service Service
	// ServicesAllowed lists the services that the gateway lets through besides
	// Zato's own. Nil allows every registered service.
	ServicesAllowed []string
	// NoPublish and NoSubscribe list topics that the user has no right to.
	NoPublish, NoSubscribe []string

	// PingInterval (30 s) and PongWait (5 s) say when a ping is sent and missed;
	// PingsMissedThreshold (2) misses close the connection with 4002.
	PingInterval, PongWait time.Duration
	PingsMissedThreshold   int
	// TokenTTL (1 h) is the life of a session's token, which every answered ping
	// lengthens by the ping interval.
	TokenTTL time.Duration
	// NewTokenWait (5 s) is how long a client may take to create its session.
	NewTokenWait time.Duration
}

func (c Channel) withDefaults() Channel {
	setDefault(&c.PingInterval, 30*time.Second)
	setDefault(&c.PongWait, 5*time.Second)
	setDefault(&c.PingsMissedThreshold, 2)
	setDefault(&c.TokenTTL, time.Hour)
	setDefault(&c.NewTokenWait, 5*time.Second)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Topic is one topic.
type Topic struct {
	Name string
	// GuaranteedDelivery keeps the topic's messages over the end of a connection
	// and of the server, unless the publisher says otherwise with has_gd.
	GuaranteedDelivery bool
}

// Option changes a server before it starts.
type Option func(*Server)

// WithAddress sets the TCP address. The default is a free port of 127.0.0.1.
func WithAddress(addr string) Option { return func(s *Server) { s.address = addr } }

// WithNetwork makes the server listen in memory instead of on TCP.
func WithNetwork(n *Network) Option { return func(s *Server) { s.network = n } }

// WithTLS makes the server speak wss.
func WithTLS(conf *tls.Config) Option { return func(s *Server) { s.tls = conf } }

// WithChannel adds a channel. A server without any gets one on a mended gateway
// at /zato.wsx.gateway for user1 with secret1.
func WithChannel(ch Channel) Option {
	return func(s *Server) {
		ch = ch.withDefaults()
		s.channels[ch.Path] = &ch
	}
}

// WithTopic adds a topic.
func WithTopic(t Topic) Option {
	return func(s *Server) { s.topics[t.Name] = &topic{Topic: t} }
}

// WithAnyTopic makes topics spring into being when they are first named.
func WithAnyTopic() Option { return func(s *Server) { s.anyTopic = true } }

// WithService adds a service that gateways can reach.
func WithService(name string, service Service) Option {
	return func(s *Server) { s.services[name] = service }
}

// WithDeliveryInterval sets how often due messages are pushed. The default is
// half a second, as on a real server.
func WithDeliveryInterval(d time.Duration) Option {
	return func(s *Server) { s.deliveryInterval = d }
}

// WithHandover sets for how long messages go where a subscription was before it
// was resumed elsewhere or its connection ended. The default is 0.3 s, as seen
// in durable.
func WithHandover(d time.Duration) Option { return func(s *Server) { s.handover = d } }

// WithResumeTime sets how long resuming takes; about 0.25 s on a real server,
// nothing by default.
func WithResumeTime(d time.Duration) Option { return func(s *Server) { s.resumeTime = d } }

// WithPushBeforeAnswer pushes the messages that a subscription has waiting
// before the answer to the request that subscribes.
func WithPushBeforeAnswer() Option { return func(s *Server) { s.pushFirst = true } }

// WithRepeats pushes the first message of every list again: within the list and
// in a round of its own.
func WithRepeats() Option { return func(s *Server) { s.repeats = true } }
