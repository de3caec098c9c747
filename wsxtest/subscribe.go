package wsxtest

import (
	"encoding/json"
	"fmt"
	"slices"
)

// subscribe is zato.pubsub.pubapi.subscribe-wsx, which the stock gateway always
// fails (transcript publish-subscribe).
func (c *session) subscribe(inv Invocation) (serviceOutcome, error) {
	if c.channel.Gateway == Stock {
		return serviceOutcome{}, internalError()
	}
	fields := fieldsOf(inv.Request)
	var unsub any = true
	if raw := fields["unsub_on_wsx_close"]; raw != nil && json.Unmarshal(raw, &unsub) != nil {
		return serviceOutcome{}, internalError()
	}
	out, err := c.newSubscription(fields, &subscription{durable: unsub == false || unsub == "false"})
	out.location = inResponse
	return out, err
}

// createSubscription is zato.pubsub.subscription.create-wsx-subscription. Its
// subscriptions are always deleted on close.
func (c *session) createSubscription(inv Invocation) (serviceOutcome, error) {
	return c.newSubscription(fieldsOf(inv.Request), &subscription{})
}

func (c *session) newSubscription(fields map[string]json.RawMessage, sub *subscription) (serviceOutcome, error) {
	sub.topic = stringOf(fields["topic_name"])
	switch {
	case sub.topic == "":
		return serviceOutcome{}, internalError()
	case slices.Contains(c.channel.NoSubscribe, sub.topic):
		return serviceOutcome{}, notAllowed()
	}
	if err := c.srv.broker.subscribe(c, sub); err != nil {
		return serviceOutcome{}, err
	}
	c.startDelivery()
	return serviceOutcome{result: fmt.Appendf(nil, `{"sub_key":%s}`, quoteJSON(sub.key))}, nil
}

// resume is zato.pubsub.resume-wsx-subscription, which the stock gateway always
// fails (transcripts durable and resume-stock).
func (c *session) resume(inv Invocation) (serviceOutcome, error) {
	if !c.sleep(c.srv.resumeDelay) || c.channel.Gateway == Stock {
		return serviceOutcome{}, internalError()
	}
	if err := c.srv.broker.resume(c, stringOf(fieldsOf(inv.Request)["sub_key"])); err != nil {
		return serviceOutcome{}, err
	}
	c.startDelivery()
	if c.srv.pushBeforeResponse {
		return serviceOutcome{before: func() { _ = c.deliver() }}, nil // the answer notices a dead connection
	}
	return serviceOutcome{after: c.requestDelivery}, nil
}

// unsubscribe is zato.pubsub.pubapi.unsubscribe. It needs the topic too, and does
// not mind a key that is gone (transcript publish-subscribe).
func (c *session) unsubscribe(inv Invocation) (serviceOutcome, error) {
	fields := fieldsOf(inv.Request)
	key := stringOf(fields["sub_key"])
	if key == "" || stringOf(fields["topic_name"]) == "" {
		return serviceOutcome{}, internalError()
	}
	out := serviceOutcome{result: json.RawMessage("{}"), location: inWrapperRaw}
	if rest := c.srv.broker.unsubscribe(c, key); len(rest.items) > 0 {
		out.after = func() { _ = c.push(rest) } // transcript backlog-gd
	}
	return out, nil
}

func quoteJSON(s string) []byte {
	b, _ := json.Marshal(s) //nolint:errchkjson // a string can be encoded
	return b
}
