package wsxtest

import (
	"slices"
	"time"
)

// Gateway is the kind of gateway service that a channel is mounted on.
type Gateway int

const (
	// Patched is a gateway with the two defects of the stock one repaired, so
	// that subscriptions can be durable and resumed.
	Patched Gateway = iota
	// Stock is the gateway of Zato 3.2 and 3.3 as shipped: subscribe-wsx and
	// resume-wsx-subscription always answer 500 (transcripts publish-subscribe
	// and resume-stock).
	Stock
	// NoWrapper answers as Zato 3.0 and 3.1 did: the result is the data.
	NoWrapper
)

// Channel is a WebSocket channel. Fields left at zero have the defaults named.
type Channel struct {
	// Path is the URL path, "/zato.wsx.gateway" by default.
	Path string
	// Username and Secret are what a login must carry. An empty Username means
	// a channel without credentials.
	Username, Secret string
	// Gateway is the kind of gateway. It means nothing with a Service.
	Gateway Gateway
	// Service, when not nil, makes this a channel mounted on one service: data
	// is the service's input and output, with no wrapper.
	Service Service
	// ServicesAllowed names the services that clients may invoke; nil means all
	// that are registered. The server's own are always allowed.
	ServicesAllowed []string
	// PingInterval is the time between pings, 30 s by default.
	PingInterval time.Duration
	// PongWait is how long a pong is waited for, 5 s by default.
	PongWait time.Duration
	// PingsMissedThreshold is after how many missed pings a connection is
	// closed, 2 by default.
	PingsMissedThreshold int
	// TokenTTL is the life of a token, 1 h by default. Each answered ping
	// lengthens it by the ping interval.
	TokenTTL time.Duration
	// NewTokenWait is how long a login is waited for, 5 s by default.
	NewTokenWait time.Duration
	// NoPublish and NoSubscribe name topics without the right to do so: 403.
	NoPublish, NoSubscribe []string
}

// Topic is a topic that messages can be published to.
type Topic struct {
	// Name is the topic's name, for example "/my/topic".
	Name string
	// GuaranteedDelivery is what applies to messages that say nothing of it.
	// Messages without it live in memory and die with their reader's connection.
	GuaranteedDelivery bool
}

func withDefaults(ch Channel) *Channel {
	setDefault(&ch.Path, "/zato.wsx.gateway")
	setDefault(&ch.PingInterval, 30*time.Second)
	setDefault(&ch.PongWait, 5*time.Second)
	setDefault(&ch.PingsMissedThreshold, 2)
	setDefault(&ch.TokenTTL, time.Hour)
	setDefault(&ch.NewTokenWait, 5*time.Second)
	return &ch
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (ch *Channel) allows(service string) bool {
	return ch.ServicesAllowed == nil || slices.Contains(ch.ServicesAllowed, service)
}
