package wsxtest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the companion services (docs/protocol.md, "The companion services").
const (
	maxFetched     = 2000
	maxIDs         = 2000
	maxFetchWait   = 20 * time.Second
	maxLease       = 3600 // seconds
	maxNameLength  = 200  // characters
	fetchPingSlack = time.Second
)

// companion returns the service of the companion with a name, or nil. Only a gateway
// of the kind Connect has them.
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
	}
	return nil
}

// decodeRequest decodes the request of a companion service. Null leaves a field as it
// is.
func decodeRequest(raw json.RawMessage, request any) error {
	err := json.Unmarshal(raw, request)
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return badRequest("Field `%s` has the wrong type", mismatch.Field)
	}
	return badRequest("The request is not an object")
}

func badRequest(format string, args ...any) error {
	return &StatusError{400, fmt.Sprintf(format, args...)}
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
	for _, name := range slices.Sorted(maps.Keys(c.srv.services)) {
		if c.channel.allows(name) {
			services = append(services, name)
		}
	}
	slices.Sort(services)
	return answer(description{
		Name: "zato-connect", Version: 1,
		Can: []string{
			"subscribe-durable", "resume", "fetch", "subscriptions", "publish-list", "publish-known", "invoke-list",
		},
		Limits: descriptionLimits{
			maxFetched, maxFetchWait.Seconds(), maxIDs, maxListed, maxInvoked, defaultInvokeSeconds,
		},
		Services: services, Database: "sqlite", LogLevel: "WARNING",
	})
}

type subscribeRequest struct {
	TopicName string   `json:"topic_name"`
	Name      string   `json:"name"`
	Shared    bool     `json:"shared"`
	Holder    string   `json:"holder"`
	IfIdle    *float64 `json:"if_idle"` // seconds
}

type subscribeAnswer struct {
	SubKey    string  `json:"sub_key"`
	Holder    *string `json:"holder"`
	Created   bool    `json:"created"`
	GivenBack int     `json:"given_back"`
}

// subscribeByName is the service connect.subscribe (transcript connect-fetch).
func (c *session) subscribeByName(inv Invocation) (serviceOutcome, error) {
	var req subscribeRequest
	err := decodeRequest(inv.Request, &req)
	switch {
	case slices.Contains(c.channel.NoSubscribe, req.TopicName):
		return serviceOutcome{}, notAllowed()
	case err != nil:
		return serviceOutcome{}, err
	case req.TopicName == "":
		return serviceOutcome{}, badRequest("Field `topic_name` is missing")
	case req.Name == "":
		return serviceOutcome{}, badRequest("A subscription needs a name")
	case utf8.RuneCountInString(req.Name) > maxNameLength:
		return serviceOutcome{}, badRequest("Field `name` has more than %d characters", maxNameLength)
	case req.IfIdle != nil && *req.IfIdle < 0:
		return serviceOutcome{}, badRequest("Field `if_idle` must not be negative")
	}
	exists, err := c.srv.broker.hasNamed(c.channel.Path, req.TopicName, req.Name)
	if err != nil {
		return serviceOutcome{}, err
	}
	if !exists && req.Holder == "" && !c.sleep(c.srv.creationDelay) {
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
	SubKey    string   `json:"sub_key"`
	Holder    string   `json:"holder"`
	Confirmed []string `json:"confirmed"`
	Returned  []string `json:"returned"`
	Renewed   []string `json:"renewed"`
	Max       int      `json:"max"`
	MaxBytes  int      `json:"max_bytes"` // 0 if there is no bound
	Wait      float64  `json:"wait"`      // seconds
	Lease     float64  `json:"lease"`     // seconds
	Release   bool     `json:"release"`
}

func (r fetchRequest) lease() time.Duration {
	return seconds(r.Lease)
}

func seconds(n float64) time.Duration {
	return time.Duration(min(n*float64(time.Second), math.MaxInt64/2))
}

func (r fetchRequest) check() error {
	for name, ids := range map[string][]string{
		"confirmed": r.Confirmed, "returned": r.Returned, "renewed": r.Renewed,
	} {
		if len(ids) > maxIDs {
			return badRequest("Field `%s` has more than %d ids", name, maxIDs)
		}
	}
	switch {
	case r.Max < 0:
		return badRequest("Field `max` must not be negative")
	case r.MaxBytes < 0:
		return badRequest("Field `max_bytes` must not be negative")
	case r.Wait < 0:
		return badRequest("Field `wait` must not be negative")
	case r.Lease < 1 || r.Lease > maxLease:
		return badRequest("Field `lease` must be from 1 to %d", maxLease)
	}
	return nil
}

type fetchAnswer struct {
	Messages  []fetchedMessage `json:"messages"`
	Confirmed int              `json:"confirmed"`
}

// fetch is the service connect.fetch (transcript connect-fetch). It goes on when the
// connection is cut: the server does not notice that while the service runs.
func (c *session) fetch(ctx context.Context, inv Invocation) (serviceOutcome, error) {
	req := fetchRequest{Max: 500, Lease: 30}
	invalid := decodeRequest(inv.Request, &req)
	if req.SubKey == "" && invalid == nil {
		invalid = badRequest("Field `sub_key` is missing")
	}
	if invalid == nil {
		invalid = req.check()
	}
	if err := c.checkRight(req.SubKey, invalid); err != nil {
		return serviceOutcome{}, err
	}
	req.Max = min(req.Max, maxFetched)
	sub, confirmed, err := c.srv.broker.settle(c, req, time.Now())
	if err != nil {
		return serviceOutcome{}, err
	}
	defer c.srv.broker.fetched(sub)
	messages := []fetchedMessage{}
	if req.Max > 0 && !req.Release {
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
// request allows. It ends in time to answer the next ping.
func (c *session) awaitMessages(
	ctx context.Context, sub *namedSubscription, req fetchRequest,
) ([]fetchedMessage, error) {
	wait := min(seconds(req.Wait), maxFetchWait, c.channel.PingInterval+c.channel.PongWait-fetchPingSlack)
	deadline := time.Now().Add(wait)
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
		timer := time.NewTimer(time.Until(until))
		select {
		case <-next.changed:
		case <-timer.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		timer.Stop()
	}
}

// namedRequest names a subscription, or filters subscriptions.
type namedRequest struct {
	TopicName string `json:"topic_name"`
	Name      string `json:"name"`
}

func (r namedRequest) matches(sub *namedSubscription) bool {
	return (r.TopicName == "" || r.TopicName == sub.topic) && (r.Name == "" || r.Name == sub.name)
}

type listedSubscription struct {
	TopicName   string    `json:"topic_name"`
	Name        string    `json:"name"`
	Shared      bool      `json:"shared"`
	Waiting     int       `json:"waiting"`
	Unconfirmed int       `json:"unconfirmed"`
	Consumer    *consumer `json:"consumer"`
	Idle        *float64  `json:"idle"` // seconds
}

func (s listedSubscription) compare(other listedSubscription) int {
	return cmp.Or(strings.Compare(s.TopicName, other.TopicName), strings.Compare(s.Name, other.Name))
}

func (s *namedSubscription) listed(now time.Time) listedSubscription {
	listed := listedSubscription{TopicName: s.topic, Name: s.name, Shared: s.shared, Consumer: s.consumer}
	listed.Waiting, listed.Unconfirmed = s.depth(now)
	if !s.fetched.IsZero() {
		idle := s.idle(now).Seconds()
		listed.Idle = &idle
	}
	return listed
}

// listSubscriptions is the service connect.subscriptions.
func (c *session) listSubscriptions(inv Invocation) (serviceOutcome, error) {
	var req namedRequest
	if err := decodeRequest(inv.Request, &req); err != nil {
		return serviceOutcome{}, err
	}
	return answer(map[string]any{"subscriptions": c.srv.broker.listNamed(c.channel.Path, req)})
}

// unsubscribeByName is the service connect.unsubscribe.
func (c *session) unsubscribeByName(inv Invocation) (serviceOutcome, error) {
	var req namedRequest
	err := decodeRequest(inv.Request, &req)
	switch {
	case err != nil:
		return serviceOutcome{}, err
	case req.TopicName == "":
		return serviceOutcome{}, badRequest("Field `topic_name` is missing")
	case req.Name == "":
		return serviceOutcome{}, badRequest("A subscription needs a name")
	}
	waiting, err := c.srv.broker.unsubscribeNamed(c.channel.Path, req)
	if err != nil {
		return serviceOutcome{}, err
	}
	return answer(map[string]int{"waiting": waiting})
}
