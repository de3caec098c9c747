package wsx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// The services that subscribe and unsubscribe (docs/protocol.md, "Subscriptions").
const (
	serviceSubscribe   = "zato.pubsub.pubapi.subscribe-wsx"
	serviceCreate      = "zato.pubsub.subscription.create-wsx-subscription"
	serviceResume      = "zato.pubsub.resume-wsx-subscription"
	serviceUnsubscribe = "zato.pubsub.pubapi.unsubscribe"
)

// Mode selects what to do if the subscription exists at the server already.
type Mode int

// The modes of a subscription.
const (
	SubscribeOrResume Mode = iota // resume the key, subscribe if that fails
	SubscribeNew                  // ignore the key; after a reconnect, resume the new one
	ResumeOnly                    // resume the key or fail
)

// Subscription is one topic that a client receives.
type Subscription struct {
	Topic string
	// Key is the key of the subscription at the server, or empty.
	Key SubKey
	// Mode is set by the method that subscribes.
	Mode Mode
	// Durable subscriptions outlive their connection, together with their queue. The
	// stock gateway cannot create them (docs/protocol.md, "The stock gateway's two
	// defects"). Then the client logs a warning once and the subscription ends with its
	// connection.
	Durable bool

	// resumable is set if the subscription with this key outlives its connection.
	resumable bool
	// restored is when it was made or resumed last.
	restored time.Time
}

// Subscribe starts to receive a topic and returns the key of the subscription. It uses
// only the fields Topic and Durable. The client restores the subscription after a
// reconnect.
func (c *Client) Subscribe(ctx context.Context, sub Subscription) (SubKey, error) {
	sub.Key, sub.Mode = "", SubscribeNew
	return c.subscribe(ctx, sub)
}

// Resume takes over a durable subscription by its key, with everything that was queued
// meanwhile. It fails with ErrResumeFailed if the server does not know the key or
// cannot resume.
func (c *Client) Resume(ctx context.Context, sub Subscription) error {
	if sub.Key == "" {
		return &InvalidError{"key", fmt.Sprintf("is empty: there is nothing to resume for topic %q", sub.Topic)}
	}
	sub.Mode = ResumeOnly
	_, err := c.subscribe(ctx, sub)
	return err
}

// SubscribeOrResume resumes the subscription with the key, if there is one. If there is
// none or resuming fails, it makes a new subscription. It returns the key in use.
func (c *Client) SubscribeOrResume(ctx context.Context, sub Subscription) (SubKey, error) {
	sub.Mode = SubscribeOrResume
	return c.subscribe(ctx, sub)
}

// Subscriptions returns the subscriptions of the client, with the keys in use.
func (c *Client) Subscriptions() []Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Subscription, len(c.subs))
	for i, sub := range c.subs {
		out[i] = *sub
	}
	return out
}

// Unsubscribe deletes the subscription to a topic and its queue at the server. It does
// nothing if there is no subscription.
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

// Receive returns the next frame of messages. It waits for one until ctx ends, across
// reconnects. Use State, Disconnected and AwaitReady to observe the connection. After
// Close, Receive returns the frames that were read and then ErrClosed.
//
// Call Receive again soon. While PrefetchCount frames wait, the socket is not read, and
// a connection that has ended must be read to its end before the next one is opened.
//
// The protocol has no acknowledgement of these messages: the server does not send one
// again once it was read. Those of a subscription by name are fetched instead, and stay
// at the server until they are confirmed: see SubscribeNamed and Fetch.
func (c *Client) Receive(ctx context.Context) (Frame, error) {
	return c.inbox.next(ctx)
}

// TryReceive appends the frames of messages that have arrived to frames, without
// waiting. It stops once it has appended frames with the wanted number of messages or
// more. It does not divide a frame.
func (c *Client) TryReceive(frames []Frame, wanted int) []Frame {
	return c.inbox.tryNext(frames, wanted)
}

// Respond sends a response to a message to the hook on_pubsub_response of the channel.
// The server does not answer it. The frame must hold exactly one message
// (docs/protocol.md, "Delivery"). The response must go out over the connection that
// the frame came from: Respond fails with ErrNotConnected if that one has ended.
func (c *Client) Respond(ctx context.Context, frame Frame, response any) error {
	if len(frame.Messages) != 1 || frame.session == nil {
		return &InvalidError{"frame", "must hold one message: the server cannot tell which one the response is for"}
	}
	ctx, cancel := c.withCallTimeout(ctx)
	defer cancel()
	err := frame.session.respond(ctx, frame.ID, response)
	if err == nil || errors.Is(err, ErrInvalid) {
		return err
	}
	return notSent(fmt.Errorf("responding to message %q: %w: %w", frame.Messages[0].MsgID, ErrNotConnected, err))
}

// subscribe makes or resumes a subscription and adds it to those of the client.
func (c *Client) subscribe(ctx context.Context, sub Subscription) (SubKey, error) {
	if sub.Topic == "" {
		return "", &InvalidError{"topic", "is empty"}
	}
	if _, exists := c.subscription(sub.Topic); exists {
		problem := fmt.Sprintf("%q is subscribed to already: every message would come twice", sub.Topic)
		return "", &InvalidError{"topic", problem}
	}
	ctx, cancel := c.withCallTimeout(ctx)
	defer cancel()
	sub.resumable = sub.Key != ""
	oldKey := sub.Key
	for added := false; !added; {
		s, err := c.awaitSession(ctx)
		if err != nil {
			return "", fmt.Errorf("subscribing to topic %q: %w", sub.Topic, err)
		}
		if err := s.subscribeOrResume(ctx, &sub); err != nil {
			if SendStatusOf(err) == MaybeSent {
				// The server may have made the subscription, or may still make it. Nobody knows its
				// key, and two on one connection can stop each other's delivery, so it must end.
				s.fail(givenUpCause(ctx))
			}
			return "", err
		}
		added = c.addSubscription(s, sub)
	}
	c.notifySubscribed(sub, oldKey)
	return sub.Key, nil
}

// addSubscription adds a subscription that was made on s, unless s has ended. Then the
// client may have restored its subscriptions on the next session already, without this one.
func (c *Client) addSubscription(s *session, sub Subscription) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.alive() {
		return false
	}
	c.subs = append(c.subs, &sub) // a copy, which the caller does not read
	select {
	case c.subscribed <- struct{}{}:
	default: // serve has not taken the last signal
	}
	return true
}

// notifySubscribed calls OnSubscribed if the key of a subscription has changed.
func (c *Client) notifySubscribed(sub Subscription, oldKey SubKey) {
	if sub.Key != oldKey {
		c.cfg.OnSubscribed(sub)
	}
}

// subscription returns the subscription to a topic.
func (c *Client) subscription(topic string) (Subscription, bool) {
	for _, sub := range c.Subscriptions() {
		if sub.Topic == topic {
			return sub, true
		}
	}
	return Subscription{}, false
}

// updateSubscription stores a subscription that was restored.
func (c *Client) updateSubscription(sub Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.subs {
		if c.subs[i].Topic == sub.Topic {
			*c.subs[i] = sub
		}
	}
}

// subscribeOrResume resumes or makes a subscription, as its mode says, and sets its key.
//
// It does not resume a subscription that is not durable. Such a subscription ends with
// its connection, but the server may notice only later, and would then end the resumed
// one.
func (s *session) subscribeOrResume(ctx context.Context, sub *Subscription) error {
	defer s.client.inbox.bypassLimit()()
	formerKey := sub.Key
	var refused *ServerError
	if formerKey != "" && sub.resumable {
		_, err := s.invoke(ctx, serviceResume, topicRequest{SubKey: sub.Key.Reveal()})
		var answered bool
		refused, answered = asAnswer(err)
		switch {
		case err == nil:
			sub.restored = time.Now()
			return nil
		case !answered:
			return fmt.Errorf("resuming topic %q: %w", sub.Topic, err)
		case sub.Mode == ResumeOnly:
			return fmt.Errorf("topic %q: %w: %w: check the key and whether the gateway can resume, "+
				"or allow a new subscription", sub.Topic, ErrResumeFailed, refused)
		}
	}
	if err := s.subscribeNew(ctx, sub); err != nil {
		return err // which is logged once, however often it is tried
	}
	switch {
	case refused != nil:
		s.client.log.Warn("subscribed again because the subscription could not be resumed: "+
			"messages published meanwhile may be lost", "topic", sub.Topic, "error", refused)
	case formerKey != "":
		s.client.log.Warn("subscribed again after the reconnect: messages published meanwhile may be lost",
			"topic", sub.Topic)
	}
	return nil
}

// topicRequest is the request of every service in this file. Each service uses some of
// the fields.
type topicRequest struct {
	SubKey     string `json:"sub_key,omitempty"`
	Topic      string `json:"topic_name,omitempty"`
	UnsubClose *bool  `json:"unsub_on_wsx_close,omitempty"`
}

// subscribeNew makes a new subscription. If the gateway answers 500, as the stock
// gateway does, to the service for durable subscriptions, it uses the older service.
func (s *session) subscribeNew(ctx context.Context, sub *Subscription) error {
	endsOnClose := !sub.Durable
	r, err := s.invoke(ctx, serviceSubscribe, topicRequest{Topic: sub.Topic, UnsubClose: &endsOnClose})
	refused, answered := asAnswer(err)
	if answered && refused.Status == http.StatusInternalServerError {
		if sub.Durable {
			s.client.warnOnce("the gateway of this channel cannot make durable subscriptions: " +
				"messages published while there is no connection are lost: mount the channel on connect.gateway " +
				"(zato/README.md)")
		}
		sub.Durable = false
		r, err = s.invoke(ctx, serviceCreate, topicRequest{Topic: sub.Topic})
		refused, answered = asAnswer(err)
	}
	if err == nil {
		var key string
		key, err = wire.SubKey(r.data)
		sub.Key, sub.resumable, sub.restored = SubKey(key), sub.Durable, time.Now()
	}
	switch {
	case err == nil:
		return nil
	case answered:
		return fmt.Errorf("subscribing to topic %q: %w: %w", sub.Topic, ErrSubscribeFailed, refused)
	}
	return fmt.Errorf("subscribing to topic %q: %w", sub.Topic, err)
}

// invoke calls one of the services that the client needs for itself. It does not wait for a
// slot, so it goes ahead of the calls that do.
func (s *session) invoke(ctx context.Context, service string, request any) (result, error) {
	call := Call{Service: service, Request: request}
	data, err := call.data()
	if err != nil {
		return result{}, err
	}
	return s.controlCall(ctx, s.client.meta(wire.ActionInvokeService, s.client.newID("sub")), &data)
}
