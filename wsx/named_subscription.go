package wsx

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"
)

// The services of named subscriptions.
const (
	serviceNamedSubscribe   = "connect.subscribe"
	serviceNamedUnsubscribe = "connect.unsubscribe"
	serviceNamedList        = "connect.subscriptions"
)

// maxNameLength is the length of the longest name of a subscription, in characters.
const maxNameLength = 200

// NamedSubscription is a subscription that the server finds by the name of its topic and a
// name of its own. The server does not push its messages: they wait in its queue until
// Client.Fetch takes them, and stay there until they are confirmed. The gateway must have
// AbilityFetch. Each endpoint has its own names.
type NamedSubscription struct {
	Topic string
	// Name has 1 to 200 characters.
	Name string
	// Shared subscriptions have any number of consumers. An exclusive one has one consumer,
	// which is the last that subscribed.
	Shared bool
	// Holder, if set, is the holder of an earlier Queue. Then SubscribeNamed fails with
	// ErrTakenOver if another consumer has subscribed since. Leave it out after an attempt
	// that may have reached the server (SendStatusOf): the holder may have changed.
	Holder string
	// IfIdle, if set, makes SubscribeNamed fail with ErrTakenOver unless the subscription has
	// no consumer, or its consumer has not fetched for that long.
	IfIdle time.Duration
}

// Queue is a consumer's access to the queue of a named subscription. Any client of the same
// user can use it.
type Queue struct {
	Topic string
	Key   SubKey
	// Holder identifies the consumer of an exclusive subscription. It is empty if the
	// subscription is shared.
	Holder string
	// Created is true if the subscription is new.
	Created bool
	// GivenBack is how many messages went back to the queue, because the consumer before had
	// not confirmed them.
	GivenBack int
}

// SubscribeNamed makes a named subscription if there is none, and takes it over from its
// consumer, unless it is shared. Nobody restores it after a reconnect, because a Queue
// outlives connections. After a fetch whose answer was lost, subscribe again with the holder,
// so that its messages go back to the queue.
//
// The error is ErrTakenOver, ErrNoSubscription if there is none for the holder, or
// ErrSubscribeFailed if the topic does not exist or the user may not read it. SubscribeNamed
// waits and fails as Call does.
func (c *Client) SubscribeNamed(ctx context.Context, sub NamedSubscription) (Queue, error) {
	op := operation{"subscribing to topic", sub.Topic}
	if err := sub.validate(); err != nil {
		return Queue{}, fmt.Errorf("%s: %w", op, err)
	}
	var answer struct {
		SubKey    string `json:"sub_key"`
		Holder    string `json:"holder"`
		Created   bool   `json:"created"`
		GivenBack int    `json:"given_back"`
	}
	err := c.invokeNamed(ctx, op, serviceNamedSubscribe, struct {
		Topic  string  `json:"topic_name"`
		Name   string  `json:"name"`
		Shared bool    `json:"shared"`
		Holder string  `json:"holder,omitempty"`
		IfIdle float64 `json:"if_idle,omitempty"`
	}{sub.Topic, sub.Name, sub.Shared, sub.Holder, sub.IfIdle.Seconds()}, &answer)
	notFound := ErrSubscribeFailed // there is no such topic
	if sub.Holder != "" {
		notFound = ErrNoSubscription // it was deleted
	}
	switch {
	case err != nil:
		return Queue{}, explainNamed(op, err, notFound)
	case answer.SubKey == "":
		return Queue{}, fmt.Errorf("%s: the answer has no sub_key", op)
	}
	return Queue{
		Topic: sub.Topic, Key: SubKey(answer.SubKey), Holder: answer.Holder,
		Created: answer.Created, GivenBack: answer.GivenBack,
	}, nil
}

func (sub *NamedSubscription) validate() error {
	switch {
	case sub.Topic == "":
		return &InvalidError{"topic", "is empty"}
	case !utf8.ValidString(sub.Topic):
		return &InvalidError{"topic", "is not valid UTF-8"}
	}
	return ValidateSubscriptionName(sub.Name)
}

// ValidateSubscriptionName returns an *InvalidError if the name of a named subscription is
// empty, too long or not valid UTF-8.
func ValidateSubscriptionName(name string) error {
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		return &InvalidError{"name", "is empty: a subscription that is fetched needs a name"}
	case n > maxNameLength:
		return &InvalidError{"name", fmt.Sprintf("has %d characters: use %d at most", n, maxNameLength)}
	case !utf8.ValidString(name):
		return &InvalidError{"name", "is not valid UTF-8"}
	}
	return nil
}

// NamedSubscriptionInfo is the state of a named subscription.
type NamedSubscriptionInfo struct {
	Topic  string
	Name   string
	Shared bool
	// Waiting is how many messages wait in the queue. Unconfirmed is how many were fetched
	// and not confirmed.
	Waiting, Unconfirmed int
	// Consumer is the consumer that fetched last. It is nil if there is none.
	Consumer *Consumer
	// Idle is how long ago that was, or negative if nobody has fetched.
	Idle time.Duration
}

// Consumer is a client that fetches.
type Consumer struct {
	ClientID   string `json:"client_id"`
	ClientName string `json:"client_name"`
}

// NamedSubscriptions lists the named subscriptions of the user's endpoint: those of a topic,
// or of all topics if topic is empty, with a name, or with all names if name is empty. It
// waits and fails as Call does.
func (c *Client) NamedSubscriptions(ctx context.Context, topic, name string) ([]NamedSubscriptionInfo, error) {
	var answer struct {
		Subscriptions []struct {
			Topic       string    `json:"topic_name"`
			Name        string    `json:"name"`
			Shared      bool      `json:"shared"`
			Waiting     int       `json:"waiting"`
			Unconfirmed int       `json:"unconfirmed"`
			Consumer    *Consumer `json:"consumer"`
			Idle        *float64  `json:"idle"`
		} `json:"subscriptions"`
	}
	// The fields are sent even if they are null: the gateway does not pass on an empty object.
	err := c.invokeNamed(ctx, operation{verb: "listing subscriptions"}, serviceNamedList, struct {
		Topic *string `json:"topic_name"`
		Name  *string `json:"name"`
	}{nonEmpty(topic), nonEmpty(name)}, &answer)
	if err != nil {
		return nil, err
	}
	var out []NamedSubscriptionInfo
	for _, s := range answer.Subscriptions {
		info := NamedSubscriptionInfo{
			Topic: s.Topic, Name: s.Name, Shared: s.Shared, Waiting: s.Waiting, Unconfirmed: s.Unconfirmed,
			Consumer: s.Consumer, Idle: -1,
		}
		if s.Idle != nil {
			info.Idle = time.Duration(*s.Idle * float64(time.Second))
		}
		out = append(out, info)
	}
	return out, nil
}

func nonEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// UnsubscribeNamed deletes a named subscription and its queue at the server. It returns how
// many messages were dropped with the queue. The error is ErrNoSubscription if there is no
// such subscription. UnsubscribeNamed waits and fails as Call does.
func (c *Client) UnsubscribeNamed(ctx context.Context, topic, name string) (dropped int, err error) {
	op := operation{"unsubscribing from topic", topic}
	var answer struct {
		Waiting int `json:"waiting"`
	}
	err = c.invokeNamed(ctx, op, serviceNamedUnsubscribe, struct {
		Topic string `json:"topic_name"`
		Name  string `json:"name"`
	}{topic, name}, &answer)
	return answer.Waiting, explainNamed(op, err, ErrNoSubscription)
}

// invokeNamed invokes a service of named subscriptions and decodes its answer.
func (c *Client) invokeNamed(ctx context.Context, op operation, service string, request, answer any) error {
	call := Call{Service: service, Request: request}
	data, err := call.data()
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	resp, err := c.do(ctx, op, "", time.Time{}, &data)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(resp.Data, answer); err != nil {
		return fmt.Errorf("%s: reading the answer: %w", op, err)
	}
	return nil
}

// explainNamed returns the error of a service of named subscriptions, with what its status
// means. The status 404 means notFound.
func explainNamed(op operation, err, notFound error) error {
	refused, answered := asAnswer(err)
	if !answered {
		return err
	}
	var meaning error
	switch refused.Status {
	case http.StatusConflict:
		meaning = ErrTakenOver
	case http.StatusRequestEntityTooLarge:
		meaning = ErrMessageTooLarge
	case http.StatusNotFound:
		meaning = notFound
	case http.StatusForbidden, http.StatusBadRequest:
		meaning = ErrSubscribeFailed
	default:
		return err
	}
	return fmt.Errorf("%s: %w: %w", op, meaning, refused)
}
