package wsx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// Services that subscribe and unsubscribe (docs/protocol.md, "Subscriptions").
const (
	serviceSubscribe   = "zato.pubsub.pubapi.subscribe-wsx"
	serviceCreate      = "zato.pubsub.subscription.create-wsx-subscription"
	serviceResume      = "zato.pubsub.resume-wsx-subscription"
	serviceUnsubscribe = "zato.pubsub.pubapi.unsubscribe"
)

// Mode says what to do about a subscription that exists at the server already.
type Mode int

// The modes of a subscription.
const (
	SubscribeOrResume Mode = iota // resume the key; subscribe anew where that fails
	SubscribeNew                  // never resume a key that was given; one's own is resumed after a reconnect
	ResumeOnly                    // resume the key or fail
)

// Subscription is one topic that a client receives.
type Subscription struct {
	Topic string
	// Key is the subscription's key at the server, where there is one.
	Key SubKey
	// Mode is set by the method that subscribes.
	Mode Mode
	// Durable subscriptions outlive their connection, with what is queued. The
	// stock gateway cannot make them (docs/protocol.md, "The stock gateway's two
	// defects"); then a warning is logged once and the subscription ends with
	// its connection.
	Durable bool

	// resumable says that the subscription behind Key outlives its connection.
	resumable bool
}

// Subscribe begins to receive a topic and returns the subscription's key. Only
// Topic and Durable are looked at. After a reconnect the subscription is
// restored by itself.
func (c *Client) Subscribe(ctx context.Context, sub Subscription) (SubKey, error) {
	sub.Key, sub.Mode = "", SubscribeNew
	return c.subscribe(ctx, sub)
}

// Resume takes up a durable subscription by its key, with all that was queued
// meanwhile. It fails with ErrResumeFailed where the server does not know the key, or
// cannot resume.
func (c *Client) Resume(ctx context.Context, sub Subscription) error {
	if sub.Key == "" {
		return &InvalidError{"key", fmt.Sprintf("is empty: there is nothing to resume for topic %q", sub.Topic)}
	}
	sub.Mode = ResumeOnly
	_, err := c.subscribe(ctx, sub)
	return err
}

// SubscribeOrResume resumes the key where there is one and subscribes anew
// where there is none or that fails. It returns the key that is in use.
func (c *Client) SubscribeOrResume(ctx context.Context, sub Subscription) (SubKey, error) {
	sub.Mode = SubscribeOrResume
	return c.subscribe(ctx, sub)
}

// Subscriptions returns what is subscribed to, with the keys in use.
func (c *Client) Subscriptions() []Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Subscription, len(c.subs))
	for i, sub := range c.subs {
		out[i] = *sub
	}
	return out
}

// Unsubscribe ends the subscription to a topic, and with it the queue at the
// server. Without a subscription it does nothing.
func (c *Client) Unsubscribe(ctx context.Context, topic string) error {
	sub, ok := c.subscription(topic)
	if !ok {
		return nil
	}
	ctx, cancel := c.withCallTimeout(ctx)
	defer cancel()
	s, err := c.awaitSession(ctx)
	if err == nil {
		defer c.inbox.bypassLimit()()
		_, err = s.invoke(ctx, serviceUnsubscribe, topicRequest{SubKey: sub.Key.Reveal(), Topic: topic})
	}
	if err != nil {
		return fmt.Errorf("unsubscribing from topic %q: %w", topic, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subs = slices.DeleteFunc(c.subs, func(s *Subscription) bool { return s.Topic == topic })
	return nil
}

// Receive returns the next frame of messages. It waits for one until ctx ends, over
// every connection that comes and goes meanwhile: State, Lost and Ready tell of them.
// After Close it returns what was read and then ErrClosed.
//
// Call it again soon: beyond PrefetchCount frames the socket is not read, and a
// connection that has ended is read to its end before there is another.
//
// The server does not know an acknowledgement: what was read is the reader's to
// keep, and does not come again.
func (c *Client) Receive(ctx context.Context) (Frame, error) {
	return c.inbox.next(ctx)
}

// TryReceive appends the next frames of messages that have arrived already to frames,
// until they have as many messages as are wanted: fewer, where no more have arrived, or
// more, for the last frame is not divided. It waits for none.
func (c *Client) TryReceive(frames []Frame, wanted int) []Frame {
	return c.inbox.tryNext(frames, wanted)
}

// Respond sends the client's response to a message, which reaches the hook
// on_pubsub_response of the channel; the server says nothing to it. It is for
// frames of one message only (docs/protocol.md, "Delivery"), over the connection
// that they came over: it fails with ErrNotConnected when that one is gone.
func (c *Client) Respond(ctx context.Context, frame Frame, response any) error {
	if len(frame.Messages) != 1 || frame.session == nil {
		return &InvalidError{"frame", "is not one of a single message: the server cannot tell what is responded to"}
	}
	ctx, cancel := c.withCallTimeout(ctx)
	defer cancel()
	err := frame.session.respond(ctx, frame.ID, response)
	if err == nil || errors.Is(err, ErrInvalid) {
		return err
	}
	return notSent(fmt.Errorf("responding to message %q: %w: %w", frame.Messages[0].MsgID, ErrNotConnected, err))
}

// subscribe makes the first subscription to a topic.
func (c *Client) subscribe(ctx context.Context, sub Subscription) (SubKey, error) {
	if sub.Topic == "" {
		return "", &InvalidError{"topic", "is empty"}
	}
	if _, taken := c.subscription(sub.Topic); taken {
		problem := fmt.Sprintf("%q is subscribed to already: every message would come twice", sub.Topic)
		return "", &InvalidError{"topic", problem}
	}
	ctx, cancel := c.withCallTimeout(ctx)
	defer cancel()
	s, err := c.awaitSession(ctx)
	if err != nil {
		return "", fmt.Errorf("subscribing to topic %q: %w", sub.Topic, err)
	}
	sub.resumable = sub.Key != ""
	former := sub.Key
	if err := s.subscribeOrResume(ctx, &sub); err != nil {
		return "", err
	}
	c.mu.Lock()
	c.subs = append(c.subs, &sub)
	c.mu.Unlock()
	c.notifySubscribed(sub, former)
	return sub.Key, nil
}

// notifySubscribed tells of a subscription that has another key than before.
func (c *Client) notifySubscribed(sub Subscription, former SubKey) {
	if sub.Key != former {
		c.cfg.OnSubscribed(sub)
	}
}

func (c *Client) subscription(topic string) (Subscription, bool) {
	for _, sub := range c.Subscriptions() {
		if sub.Topic == topic {
			return sub, true
		}
	}
	return Subscription{}, false
}

// resubscribe takes up every subscription on a new session.
func (s *session) resubscribe(ctx context.Context) error {
	for _, sub := range s.client.Subscriptions() {
		former := sub.Key
		if err := s.subscribeOrResume(ctx, &sub); err != nil {
			return err
		}
		s.client.updateSubscription(sub)
		s.client.notifySubscribed(sub, former)
	}
	return nil
}

// updateSubscription stores what a subscription has become.
func (c *Client) updateSubscription(sub Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.subs {
		if c.subs[i].Topic == sub.Topic {
			*c.subs[i] = sub
		}
	}
}

// subscribeOrResume resumes or makes a subscription, by its mode, and sets its key. A
// subscription that is not durable ended with its connection. Its key is not
// even tried: the server may not have noticed yet, and would end it under us.
func (s *session) subscribeOrResume(ctx context.Context, sub *Subscription) error {
	defer s.client.inbox.bypassLimit()()
	if sub.Key != "" && sub.resumable {
		_, err := s.invoke(ctx, serviceResume, topicRequest{SubKey: sub.Key.Reveal()})
		var refused *ServerError
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &refused):
			return fmt.Errorf("resuming topic %q: %w", sub.Topic, err)
		case sub.Mode == ResumeOnly:
			return fmt.Errorf("topic %q: %w: %w: check the key, and that the gateway can resume; "+
				"or let it be subscribed anew", sub.Topic, ErrResumeFailed, refused)
		}
		s.client.log.Warn("subscribing anew, as the subscription could not be resumed: "+
			"what was published meanwhile may be lost", "topic", sub.Topic, "error", refused)
	} else if sub.Key != "" {
		s.client.log.Warn("subscribing anew after a reconnect: what was published meanwhile may be lost",
			"topic", sub.Topic)
	}
	return s.subscribeNew(ctx, sub)
}

// topicRequest is the request of every service of this file.
type topicRequest struct {
	SubKey     string `json:"sub_key,omitempty"`
	Topic      string `json:"topic_name,omitempty"`
	UnsubClose *bool  `json:"unsub_on_wsx_close,omitempty"`
}

// subscribeNew makes a new subscription. The stock gateway answers 500 to the
// service that can make durable ones; then the older service is used.
func (s *session) subscribeNew(ctx context.Context, sub *Subscription) error {
	ends := !sub.Durable
	a, err := s.invoke(ctx, serviceSubscribe, topicRequest{Topic: sub.Topic, UnsubClose: &ends})
	var refused *ServerError
	if errors.As(err, &refused) && refused.Status == http.StatusInternalServerError {
		if sub.Durable && s.client.warnOnce("not durable") {
			s.client.log.Warn("the gateway of this channel cannot make durable subscriptions: " +
				"what is published while there is no connection will be lost; mend the gateway as docs/protocol.md says")
		}
		sub.Durable = false
		a, err = s.invoke(ctx, serviceCreate, topicRequest{Topic: sub.Topic})
	}
	if err == nil {
		var key string
		key, err = wire.SubKey(a.data)
		sub.Key, sub.resumable = SubKey(key), sub.Durable
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return fmt.Errorf("subscribing to topic %q: %w: %w", sub.Topic, ErrSubscribeFailed, refused)
	}
	return fmt.Errorf("subscribing to topic %q: %w", sub.Topic, err)
}

// invoke calls one of Zato's own services ahead of the callers' calls.
func (s *session) invoke(ctx context.Context, service string, request topicRequest) (result, error) {
	call := Call{Service: service, Request: request}
	data, err := call.data()
	if err != nil {
		return result{}, err
	}
	return s.controlCall(ctx, s.client.meta(wire.ActionInvokeService, s.client.newID("sub")), &data)
}
