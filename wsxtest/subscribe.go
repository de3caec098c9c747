package wsxtest

import (
	"encoding/json"
	"fmt"
	"slices"
)

// subscribe is zato.pubsub.pubapi.subscribe-wsx, which the stock gateway always
// fails (transcript publish-subscribe).
func (c *session) subscribe(inv Invocation) (outcome, error) {
	if c.channel.Gateway == Stock {
		return outcome{}, internalError()
	}
	fields := object(inv.Request)
	var unsub any = true
	if raw := fields["unsub_on_wsx_close"]; raw != nil && json.Unmarshal(raw, &unsub) != nil {
		return outcome{}, internalError()
	}
	out, err := c.newSubscription(fields, &subscription{durable: unsub == false || unsub == "false"})
	out.location = inResponse
	return out, err
}

// createSubscription is zato.pubsub.subscription.create-wsx-subscription. Its
// subscriptions are always deleted on close.
func (c *session) createSubscription(inv Invocation) (outcome, error) {
	return c.newSubscription(object(inv.Request), &subscription{})
}

func (c *session) newSubscription(fields map[string]json.RawMessage, sub *subscription) (outcome, error) {
	sub.topic = text(fields["topic_name"])
	switch {
	case sub.topic == "":
		return outcome{}, internalError()
	case slices.Contains(c.channel.NoSubscribe, sub.topic):
		return outcome{}, notAllowed()
	}
	if err := c.srv.broker.subscribe(c, sub); err != nil {
		return outcome{}, err
	}
	c.startDelivery()
	return outcome{result: fmt.Appendf(nil, `{"sub_key":%s}`, quoted(sub.key))}, nil
}

// resume is zato.pubsub.resume-wsx-subscription, which the stock gateway always
// fails (transcripts durable and resume-stock).
func (c *session) resume(inv Invocation) (outcome, error) {
	if !c.pause(c.srv.resumeTime) || c.channel.Gateway == Stock {
		return outcome{}, internalError()
	}
	if err := c.srv.broker.resume(c, text(object(inv.Request)["sub_key"])); err != nil {
		return outcome{}, err
	}
	c.startDelivery()
	if c.srv.pushBeforeResponse {
		return outcome{before: func() { _ = c.deliver() }}, nil // the answer notices a dead connection
	}
	return outcome{after: c.deliverSoon}, nil
}

// unsubscribe is zato.pubsub.pubapi.unsubscribe. It needs the topic too, and does
// not mind a key that is gone (transcript publish-subscribe).
func (c *session) unsubscribe(inv Invocation) (outcome, error) {
	fields := object(inv.Request)
	key := text(fields["sub_key"])
	if key == "" || text(fields["topic_name"]) == "" {
		return outcome{}, internalError()
	}
	out := outcome{result: json.RawMessage("{}"), location: raw}
	if rest := c.srv.broker.unsubscribe(c, key); len(rest.items) > 0 {
		out.after = func() { _ = c.push(rest) } // transcript backlog-gd
	}
	return out, nil
}

func quoted(s string) []byte {
	b, _ := json.Marshal(s) //nolint:errchkjson // a string can be encoded
	return b
}
