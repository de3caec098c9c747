package wsxtest

import (
	"encoding/json"
	"slices"
	"time"
)

// Gateway is the kind of gateway service that a channel is mounted on.
type Gateway int

const (
	// Patched is a gateway in which the two defects of the stock gateway are
	// fixed, so that subscriptions can be durable and resumed.
	Patched Gateway = iota
	// Stock is the gateway that Zato 3.2 and 3.3 ship. Its subscribe-wsx and
	// resume-wsx-subscription services always answer 500 (transcripts
	// publish-subscribe and resume-stock).
	Stock
	// NoWrapper is the gateway of Zato 3.0 and 3.1. It returns the result of a
	// service without a wrapper object.
	NoWrapper
	// Connect is a patched gateway with the companion services of this project, so
	// that subscriptions can have names and their messages can be fetched
	// (docs/protocol.md, "The companion services").
	Connect
)

// Channel is a WebSocket channel. A field that is zero has its documented default.
// The names of the fields are those of Zato.
type Channel struct {
	// Path is the URL path. The default is "/zato.wsx.gateway".
	Path string
	// Username and Secret are the credentials that a login needs. If Username is
	// empty, the channel needs none.
	Username, Secret string
	// Gateway is the kind of gateway. It is ignored if Service is set.
	Gateway Gateway
	// Description, if not nil, is the answer of connect.describe on a gateway of the
	// kind Connect. The default describes what the server does.
	Description json.RawMessage
	// Service, if not nil, is the service that the channel is mounted on instead
	// of a gateway. The data of a frame is its input or output, without a wrapper.
	Service Service
	// ServicesAllowed lists the services that clients may invoke. Nil allows all
	// services. The built-in services are always allowed, except for three that tell
	// what a subscription does (zato.pubsub.delivery.get-server-pid-for-sub-key,
	// zato.pubsub.queue.get-queue-depth-by-sub-key and
	// zato.pubsub.endpoint.get-endpoint-queue-non-gd-depth). A gateway of the kind Connect
	// always allows the first of these too.
	ServicesAllowed []string
	// PingInterval is the time between pings. The default is 30 s.
	PingInterval time.Duration
	// PongWait is how long the server waits for a pong. The default is 5 s.
	PongWait time.Duration
	// PingsMissedThreshold is the number of unanswered pings after which the
	// server closes a connection. The default is 2.
	PingsMissedThreshold int
	// TokenTTL is how long a token is valid. The default is 1 h. Each answered
	// ping extends it by the ping interval.
	TokenTTL time.Duration
	// NewTokenWait is how long the server waits for a login. The default is 5 s.
	NewTokenWait time.Duration
	// NoPublish and NoSubscribe list the topics that clients of the channel may
	// not publish or subscribe to. The server answers 403.
	NoPublish, NoSubscribe []string
	// NoEndpoint is set if the channel has no pub/sub endpoint. The server closes a
	// connection that subscribes (transcript no-endpoint).
	NoEndpoint bool
}

// Topic is a topic that messages can be published to.
type Topic struct {
	// Name is the topic's name, for example "/my/topic".
	Name string
	// GuaranteedDelivery is the default for messages of this topic. Messages
	// without it are kept in memory and lost when the subscriber's connection
	// ends.
	GuaranteedDelivery bool
	// Inactive makes publications fail with status 503.
	Inactive bool
	// DropWithoutSubscribers makes the server accept and drop a message while nobody
	// is subscribed. Otherwise it waits for the first subscriber.
	DropWithoutSubscribers bool
	// MaxDepthGD is how many guaranteed messages wait for the first subscriber. The
	// server refuses more with status 503. MaxDepthNonGD is how many messages in memory
	// wait for connections. The server accepts more and drops them, and counts those too
	// until [Server.ClearTopic] or a restart. In a list of the companion, more are full and
	// not published. Zero means no limit.
	MaxDepthGD, MaxDepthNonGD int
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
