package wsxtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// subscribe is the service zato.pubsub.pubapi.subscribe-wsx. It always fails on the
// stock gateway (transcript publish-subscribe).
func (c *session) subscribe(inv Invocation) (serviceOutcome, error) {
	if c.channel.Gateway == Stock {
		return serviceOutcome{}, internalError()
	}
	fields := fieldsOf(inv.Request)
	if fields["topic_name"] == nil {
		return serviceOutcome{}, internalError()
	}
	var unsub any = true
	if raw := fields["unsub_on_wsx_close"]; raw != nil && json.Unmarshal(raw, &unsub) != nil {
		return serviceOutcome{}, internalError()
	}
	if fields["topic_name"] == nil {
		return serviceOutcome{}, internalError()
	}
	out, err := c.newSubscription(fields, &subscription{durable: unsub == false || unsub == "false"})
	out.location = inResponse
	return out, err
}

// createSubscription is the service zato.pubsub.subscription.create-wsx-subscription.
// Its subscriptions are never durable.
func (c *session) createSubscription(inv Invocation) (serviceOutcome, error) {
	return c.newSubscription(fieldsOf(inv.Request), &subscription{})
}

// errNoEndpoint is the error of a subscription on a channel without a pub/sub endpoint.
var errNoEndpoint error = notAllowed()

// endpointWait is how long the server looks for the pub/sub endpoint of a channel.
const endpointWait = 3 * time.Second

func (c *session) newSubscription(fields map[string]json.RawMessage, sub *subscription) (serviceOutcome, error) {
	sub.topic = stringOf(fields["topic_name"])
	if c.channel.NoEndpoint {
		c.sleep(endpointWait)
		return serviceOutcome{}, errNoEndpoint
	}
	switch {
	case sub.topic == "":
		return serviceOutcome{}, badRequest("Either or topic_name or topic_name_list is required")
	case !strings.HasPrefix(sub.topic, "/"), slices.Contains(c.channel.NoSubscribe, sub.topic):
		return serviceOutcome{}, notAllowed()
	}
	hasBacklog, err := c.srv.broker.subscribe(c, sub)
	if err != nil {
		return serviceOutcome{}, err
	}
	c.startDelivery()
	out := serviceOutcome{result: fmt.Appendf(nil, `{"sub_key":%s}`, quoteJSON(sub.key))}
	if hasBacklog {
		out.after = c.requestDelivery // transcript right-by-priority
	}
	return out, nil
}

// resume is the service zato.pubsub.resume-wsx-subscription. It always fails on the
// stock gateway (transcripts durable and resume-stock).
func (c *session) resume(inv Invocation) (serviceOutcome, error) {
	if !c.sleep(c.srv.resumeDelay) || c.channel.Gateway == Stock {
		return serviceOutcome{}, internalError()
	}
	again, err := c.srv.broker.resume(c, stringOf(fieldsOf(inv.Request)["sub_key"]))
	if err != nil {
		return serviceOutcome{}, err
	}
	c.startDelivery()
	if again { // its messages come with the next round (transcript deaf-after-missed-pings)
		return serviceOutcome{}, nil
	}
	if c.srv.pushBeforeResponse {
		return serviceOutcome{before: func() { _ = c.deliver() }}, nil // writing the response reports a closed connection
	}
	return serviceOutcome{after: c.requestDelivery}, nil
}

// unsubscribe is the service zato.pubsub.pubapi.unsubscribe. It requires the topic
// and accepts an unknown key (transcript publish-subscribe).
func (c *session) unsubscribe(inv Invocation) (serviceOutcome, error) {
	fields := fieldsOf(inv.Request)
	key := stringOf(fields["sub_key"])
	topic := stringOf(fields["topic_name"])
	if fields["topic_name"] == nil {
		return serviceOutcome{}, internalError()
	}
	if _, exists := c.srv.broker.topic(topic); !exists {
		return serviceOutcome{}, notAllowed() // transcript topic-deleted
	}
	out := serviceOutcome{result: json.RawMessage("{}"), location: inWrapperRaw}
	rest, err := c.srv.broker.unsubscribe(c, key)
	if err != nil {
		return serviceOutcome{}, err
	}
	if len(rest.items) > 0 {
		out.after = func() { _ = c.push(rest) } // transcript backlog-gd
	}
	return out, nil
}

func quoteJSON(s string) []byte {
	b, _ := json.Marshal(s) //nolint:errchkjson // a string can always be encoded
	return b
}
