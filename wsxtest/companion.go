package wsxtest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the companion services (docs/protocol.md, "The companion services").
const (
	maxFetched    = 2000
	maxIDs        = 2000
	maxFetchWait  = 20 * time.Second
	maxLease      = 3600 // seconds
	maxNameLength = 200  // characters
)

// companion returns the service with a name that only a gateway of the kind Connect has
// or always allows, or nil.
func (c *session) companion(ctx context.Context, name string) func(Invocation) (serviceOutcome, error) {
	if c.channel.Gateway != Connect {
		return nil
	}
	switch name {
	case "connect.describe":
		return c.describe
	case "connect.subscribe":
		return c.subscribeByName
	case "connect.fetch":
		return func(inv Invocation) (serviceOutcome, error) { return c.fetch(ctx, inv) }
	case "connect.subscriptions":
		return c.listSubscriptions
	case "connect.unsubscribe":
		return c.unsubscribeByName
	case "connect.publish":
		return c.publishList
	case "connect.invoke":
		return func(inv Invocation) (serviceOutcome, error) { return c.invokeList(ctx, inv) }
	case serviceDelivery:
		return c.deliveryServer
	}
	return nil
}

// longestCall returns how long a call may last so that the server misses no pong.
func (c *session) longestCall() time.Duration {
	return c.channel.PingInterval + c.channel.PongWait*3/5
}

// answer returns the outcome of a service of the companion.
func answer(result any) (serviceOutcome, error) {
	raw, err := json.Marshal(result)
	if err != nil {
		return serviceOutcome{}, fmt.Errorf("encoding the answer: %w", err)
	}
	return serviceOutcome{result: raw, location: inWrapperRaw}, nil
}

// description is the answer of connect.describe.
type description struct {
	Name     string            `json:"name"`
	Version  int               `json:"version"`
	Can      []string          `json:"can"`
	Limits   descriptionLimits `json:"limits"`
	Services []string          `json:"services"`
	Database string            `json:"database"`
	LogLevel string            `json:"log_level"`
}

type descriptionLimits struct {
	FetchMessages   int     `json:"fetch_messages"`
	FetchSeconds    float64 `json:"fetch_seconds"`
	IDs             int     `json:"ids"`
	PublishMessages int     `json:"publish_messages"`
	InvokeRequests  int     `json:"invoke_requests"`
	InvokeSeconds   float64 `json:"invoke_seconds"`
}

// describe is the service connect.describe (transcript connect-describe).
func (c *session) describe(Invocation) (serviceOutcome, error) {
	if c.channel.Description != nil {
		return serviceOutcome{result: c.channel.Description}, nil
	}
	services := []string{"zato.ping"}
	for _, name := range c.srv.serviceNames() {
		if c.channel.allows(name) {
			services = append(services, name)
		}
	}
	slices.Sort(services)
	return answer(description{
		Name: "zato-connect", Version: 1,
		Can: []string{
			"subscribe-durable", "resume", "fetch", "fetch-in-memory", "subscriptions",
			"publish-list", "publish-known", "publish-depth", "invoke-list",
		},
		Limits: descriptionLimits{
			maxFetched, maxFetchWait.Seconds(), maxIDs, maxListed, maxInvoked, defaultInvokeSeconds,
		},
		Services: services, Database: "sqlite", LogLevel: "WARNING",
	})
}

type subscribeRequest struct {
	topic, name string
	shared      bool
	holder      *string
	// ifIdle is how long the consumer must not have fetched, nil if that does not
	// matter.
	ifIdle *time.Duration
}

type subscribeAnswer struct {
	SubKey    string  `json:"sub_key"`
	Holder    *string `json:"holder"`
	Created   bool    `json:"created"`
	GivenBack int     `json:"given_back"`
}

func parseSubscribeRequest(request json.RawMessage) (subscribeRequest, error) {
	f := newCompanionFields(request)
	req := subscribeRequest{topic: f.required("topic_name")}
	f.read("name", fmt.Sprintf("a text of 1 to %d characters", maxNameLength), &req.name, func() bool {
		return utf8.RuneCountInString(req.name) <= maxNameLength
	})
	req.shared, req.holder = f.flag("shared"), f.holder()
	if idle := f.seconds("if_idle", 0, maxSeconds, -1); idle >= 0 {
		req.ifIdle = &idle
	}
	if f.err == nil && req.name == "" {
		f.err = badRequest("A subscription needs a name")
	}
	return req, f.err
}

// subscribeByName is the service connect.subscribe (transcript connect-fetch).
func (c *session) subscribeByName(inv Invocation) (serviceOutcome, error) {
	req, err := parseSubscribeRequest(inv.Request)
	switch {
	case err != nil:
		return serviceOutcome{}, err
	case slices.Contains(c.channel.NoSubscribe, req.topic):
		return serviceOutcome{}, notAllowed()
	}
	exists, err := c.srv.broker.hasNamed(c.channel.Path, req.topic, req.name)
	if err != nil {
		return serviceOutcome{}, err
	}
	if !exists && req.holder == nil && !c.sleep(c.srv.creationDelay) {
		return serviceOutcome{}, internalError()
	}
	given, err := c.srv.broker.subscribeNamed(c, req)
	if err != nil {
		return serviceOutcome{}, err
	}
	return answer(given)
}

// consumer returns the client of the connection.
func (c *session) consumer() *consumer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &consumer{c.clientID, c.clientName}
}

type fetchRequest struct {
	subKey                       string
	holder                       *string
	confirmed, returned, renewed []string
	max                          int
	maxBytes                     int // 0 if there is no bound
	wait, lease                  time.Duration
	release                      bool
}

func seconds(n float64) time.Duration {
	return time.Duration(n * float64(time.Second))
}

func parseFetchRequest(request json.RawMessage) (fetchRequest, error) {
	f := newCompanionFields(request)
	req := fetchRequest{
		subKey: f.required("sub_key"), holder: f.holder(),
		confirmed: f.ids("confirmed"), returned: f.ids("returned"), renewed: f.ids("renewed"),
		max: min(f.whole("max", 0, 500), maxFetched), maxBytes: f.whole("max_bytes", 1, 0),
		lease: f.seconds("lease", 1, maxLease, 30), release: f.flag("release"),
		wait: f.seconds("wait", 0, maxSeconds, 0),
	}
	return req, f.err
}

type fetchAnswer struct {
	Messages  []fetchedMessage `json:"messages"`
	Confirmed int              `json:"confirmed"`
}

// fetch is the service connect.fetch (transcript connect-fetch).
func (c *session) fetch(ctx context.Context, inv Invocation) (serviceOutcome, error) {
	req, invalid := parseFetchRequest(inv.Request)
	if err := c.checkRight(req.subKey, invalid); err != nil {
		return serviceOutcome{}, err
	}
	sub, confirmed, err := c.srv.broker.settle(c, req, time.Now())
	if err != nil {
		return serviceOutcome{}, err
	}
	defer c.srv.broker.fetched(sub)
	messages := []fetchedMessage{}
	if req.max > 0 && !req.release {
		if messages, err = c.awaitMessages(ctx, sub, req); err != nil {
			return serviceOutcome{}, err
		}
	}
	out, err := answer(fetchAnswer{messages, confirmed})
	out.handedOut = len(messages) > 0
	out.after = func() {
		for _, m := range messages {
			c.srv.recorder.addDelivered(m.recorded(sub.key))
		}
	}
	return out, err
}

// checkRight returns why the caller may not use a subscription, or else invalid.
func (c *session) checkRight(key string, invalid error) error {
	b := c.srv.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.ownNamed(c, key); err != nil && (key != "" || invalid == nil) {
		return err
	}
	return invalid
}

// awaitMessages hands out messages. If there are none, it waits for as long as the
// request allows, but no longer than the server can do without a pong. It does not wait
// longer if the client sends something or ends the connection: the companion looks for
// that while it waits.
func (c *session) awaitMessages(
	ctx context.Context, sub *namedSubscription, req fetchRequest,
) ([]fetchedMessage, error) {
	wait := min(req.wait, maxFetchWait, c.longestCall())
	deadline := time.Now().Add(wait)
	var active <-chan struct{}
	stop := func() {}
	defer func() { stop() }()
	for {
		messages, next, err := c.srv.broker.handOut(sub, req)
		if err != nil || len(messages) > 0 {
			return messages, err
		}
		until := deadline
		if !next.leaseEnd.IsZero() && next.leaseEnd.Before(deadline) {
			until = next.leaseEnd
		}
		if !time.Now().Before(deadline) {
			return []fetchedMessage{}, nil
		}
		if active == nil {
			active, stop = c.watchClient()
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case <-next.changed:
		case <-timer.C:
		case <-c.closed:
			return []fetchedMessage{}, nil
		case <-active:
			return []fetchedMessage{}, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		timer.Stop()
		if c.isClosed() || isClosed(active) {
			return []fetchedMessage{}, nil
		}
	}
}

// namedRequest names a subscription, or filters subscriptions.
type namedRequest struct{ topic, name string }

func (r namedRequest) matches(sub *namedSubscription) bool {
	return (r.topic == "" || r.topic == sub.topic) && (r.name == "" || r.name == sub.name)
}

type listedSubscription struct {
	TopicName   string    `json:"topic_name"`
	Name        string    `json:"name"`
	Shared      bool      `json:"shared"`
	Waiting     int       `json:"waiting"`
	Unconfirmed int       `json:"unconfirmed"`
	Consumer    *consumer `json:"consumer"`
	Idle        float64   `json:"idle"` // seconds
}

func (s listedSubscription) compare(other listedSubscription) int {
	return cmp.Or(strings.Compare(s.TopicName, other.TopicName), strings.Compare(s.Name, other.Name))
}

func (s *namedSubscription) listed(now time.Time) listedSubscription {
	listed := listedSubscription{
		TopicName: s.topic, Name: s.name, Shared: s.shared, Consumer: s.consumer, Idle: s.idle(now).Seconds(),
	}
	listed.Waiting, listed.Unconfirmed = s.depth(now)
	return listed
}

// listSubscriptions is the service connect.subscriptions.
func (c *session) listSubscriptions(inv Invocation) (serviceOutcome, error) {
	f := newCompanionFields(inv.Request)
	req := namedRequest{f.text("topic_name"), f.text("name")}
	if f.err != nil {
		return serviceOutcome{}, f.err
	}
	return answer(map[string]any{"subscriptions": c.srv.broker.listNamed(c.channel.Path, req)})
}

// unsubscribeByName is the service connect.unsubscribe.
func (c *session) unsubscribeByName(inv Invocation) (serviceOutcome, error) {
	f := newCompanionFields(inv.Request)
	req := namedRequest{f.required("topic_name"), f.required("name")}
	if f.err != nil {
		return serviceOutcome{}, f.err
	}
	waiting, err := c.srv.broker.unsubscribeNamed(c.channel.Path, req)
	if err != nil {
		return serviceOutcome{}, err
	}
	return answer(map[string]int{"waiting": waiting})
}
