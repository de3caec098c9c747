package wsx

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// serviceDescribe says what the gateway of the companion services can do.
const serviceDescribe = "connect.describe"

// companionName is the name in the description of the companion services.
const companionName = "zato-connect"

// Gateway says what the channel is mounted on: the gateway that Zato ships, or that of the
// companion services, connect.gateway (zato/README.md).
type Gateway int

// The values of Gateway.
const (
	GatewayAuto    Gateway = iota // ask when Describe is called
	GatewayStock                  // never ask
	GatewayConnect                // ask after each login, and fail with ErrNoCompanion
)

// Abilities of a gateway, for Description.Offers.
const (
	// AbilitySubscribeDurable and AbilityResume mean that Subscribe can make durable
	// subscriptions and Resume can resume them.
	AbilitySubscribeDurable = "subscribe-durable"
	AbilityResume           = "resume"
	// AbilityFetch means that there are named subscriptions. With AbilityFetchInMemory,
	// they also get messages without guaranteed delivery while a pushed subscription of
	// the topic is connected.
	AbilityFetch         = "fetch"
	AbilityFetchInMemory = "fetch-in-memory"
	// AbilitySubscriptions means that named subscriptions can be listed and deleted.
	AbilitySubscriptions = "subscriptions"
	// AbilityInvokeList means that InvokeList can invoke a service with a list of requests.
	AbilityInvokeList = "invoke-list"
	// AbilityPublishList means that PublishList can be used. With AbilityPublishKnown, the
	// server recognizes messages that it has published already. With AbilityPublishDepth, it
	// publishes no more messages in memory than the topic may have.
	AbilityPublishList  = "publish-list"
	AbilityPublishKnown = "publish-known"
	AbilityPublishDepth = "publish-depth"
)

// Description says what a gateway can do. The zero value describes the gateway that Zato
// ships.
type Description struct {
	Name    string   `json:"name"`
	Version int      `json:"version"`
	Can     []string `json:"can"` // the abilities
	Limits  Limits   `json:"limits"`
	// Services are the services that clients may invoke.
	Services []string `json:"services"`
	// Database is sqlite, postgresql or mysql.
	Database string `json:"database"`
	// LogLevel is the level of the server's log of publish/subscribe, such as INFO.
	LogLevel string `json:"log_level"`
}

// Limits are the limits of one call. A limit that the gateway does not name is zero.
type Limits struct {
	// FetchMessages is the largest FetchRequest.Max.
	FetchMessages int `json:"fetch_messages"`
	// FetchSeconds is the longest FetchRequest.Wait.
	FetchSeconds float64 `json:"fetch_seconds"`
	// IDs is the length of the longest list of ids in a FetchRequest.
	IDs int `json:"ids"`
	// InvokeRequests is the length of the longest list of a ListCall.
	InvokeRequests int `json:"invoke_requests"`
	// InvokeSeconds is how long connect.invoke takes if its caller does not say how long.
	InvokeSeconds float64 `json:"invoke_seconds"`
	// PublishMessages is the length of the longest PublicationList.
	PublishMessages int `json:"publish_messages"`
}

// Offers reports whether the gateway has an ability.
func (d Description) Offers(ability string) bool { return slices.Contains(d.Can, ability) }

// IsCompanion reports whether the channel is mounted on the companion services.
func (d Description) IsCompanion() bool { return d.Name == companionName }

// Describe returns what the gateway of the channel can do. It returns the zero Description
// if the gateway is the one that Zato ships, and also with GatewayStock. It asks the server
// once for each connection. It waits and fails as Call does. Do not use it on a channel that
// is mounted on a single service: it would invoke that service.
func (c *Client) Describe(ctx context.Context) (Description, error) {
	if c.cfg.Gateway == GatewayStock {
		return Description{}, nil
	}
	ctx, cancel := c.withCallTimeout(ctx)
	defer cancel()
	s, err := c.awaitSession(ctx)
	if err != nil {
		return Description{}, fmt.Errorf("describing the gateway: %w", err)
	}
	return s.describe(ctx)
}

// Described returns what the gateway can do if that is known on the current connection,
// because Describe was called or with GatewayStock. Otherwise, it returns nil. The caller must
// not change the Description.
func (c *Client) Described() *Description {
	if s := c.readySession(); s != nil {
		return s.description.Load()
	}
	return nil
}

// requireCompanion fails if the channel is not mounted on the companion services although
// the configuration says so.
func (s *session) requireCompanion(ctx context.Context) error {
	if s.client.cfg.Gateway != GatewayConnect {
		return nil
	}
	d, err := s.describe(ctx)
	if err == nil && !d.IsCompanion() {
		err = ErrNoCompanion
	}
	return err
}

// describe returns what the gateway can do, from the first answer on this session.
func (s *session) describe(ctx context.Context) (Description, error) {
	if d := s.description.Load(); d != nil {
		return *d, nil
	}
	defer s.client.inbox.bypassLimit()()
	r, err := s.invoke(ctx, serviceDescribe, nil)
	refused, answered := asAnswer(err)
	var d Description
	switch {
	case err == nil:
		d, err = parseDescription(wire.Unwrap(r.data))
	case answered && (refused.Status == http.StatusForbidden || refused.Status == http.StatusNotFound):
		err = nil // there is no such service, or it is not on the list of the stock gateway
	}
	if err != nil {
		return Description{}, fmt.Errorf("describing the gateway: %w", err)
	}
	s.description.Store(&d)
	return d, nil
}

// parseDescription returns the description in an answer to serviceDescribe. A channel that is
// mounted on another service may answer anything.
func parseDescription(answer json.RawMessage) (Description, error) {
	var fields map[string]any
	_ = json.Unmarshal(answer, &fields) // there are none if the answer is not an object
	if fields["name"] != companionName {
		return Description{}, nil
	}
	var d Description
	if err := json.Unmarshal(answer, &d); err != nil {
		return Description{}, fmt.Errorf("reading the answer: %w", err)
	}
	return d, nil
}
