package wsx

import (
	"errors"
	"net/http"
	"time"
)

// serviceDelivery answers which process of the server delivers a subscription. The answer
// is 400 if none does.
const serviceDelivery = "zato.pubsub.delivery.get-server-pid-for-sub-key"

const (
	// deliveryInterval is how often the client asks whether its subscriptions are delivered.
	// A server needs less than that to know the connection of a new subscription.
	deliveryInterval = 3 * time.Second
	// deliveryDoubt is how long after an answer that says no the client asks again.
	deliveryDoubt = time.Second
)

// errNotDelivered ends a session whose subscription the server does not deliver.
var errNotDelivered = errors.New("the server no longer delivers messages to this connection")

// watchDelivery asks from time to time whether the server still delivers the subscriptions
// of the session, until the session ends. A server does not report that it stopped: after an
// administrator has deleted a subscription or its topic, or when the connection that had the
// subscription before ends later than this one resumed it (docs/protocol.md,
// "Subscriptions"). Then the session ends, and the next one restores the subscriptions.
func (s *session) watchDelivery() {
	for s.await(deliveryInterval) {
		for _, sub := range s.client.Subscriptions() {
			// While messages wait, the answer could not be read.
			if time.Since(sub.restored) < deliveryInterval || s.client.inbox.stopsReading() {
				continue
			}
			answer := s.askDelivery(&sub)
			if answer == notDelivered && s.await(deliveryDoubt) {
				answer = s.askDelivery(&sub)
			}
			switch {
			case answer == mayNotAsk:
				s.warnMayNotAsk(&sub)
				return
			case answer == notDelivered && s.client.holds(&sub):
				s.fail(errNotDelivered)
				return
			}
		}
	}
}

// await waits. It reports whether the session lives on.
func (s *session) await(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.closing:
		return false
	}
}

// holds reports whether the client still has a subscription.
func (c *Client) holds(sub *Subscription) bool {
	now, ok := c.subscription(sub.Topic)
	return ok && now.Key == sub.Key
}

// deliveryAnswer is what a server says of the delivery of a subscription.
type deliveryAnswer int

const (
	unknownDelivery deliveryAnswer = iota // another error than those below
	delivered
	notDelivered
	mayNotAsk // the gateway does not allow serviceDelivery
)

// askDelivery asks whether the server delivers a subscription. The call ends with the
// session and not earlier: its answer comes behind the messages that nobody has received.
func (s *session) askDelivery(sub *Subscription) deliveryAnswer {
	_, err := s.invoke(s.client.ctx, serviceDelivery, topicRequest{SubKey: sub.Key.Reveal()})
	if err == nil {
		return delivered
	}
	if refused, answered := asAnswer(err); answered {
		switch refused.Status {
		case http.StatusBadRequest:
			return notDelivered
		case http.StatusForbidden, http.StatusNotFound:
			return mayNotAsk
		}
	}
	return unknownDelivery
}

// warnMayNotAsk warns once that a durable subscription may stop unnoticed.
func (s *session) warnMayNotAsk(sub *Subscription) {
	if !sub.resumable {
		return
	}
	s.client.warnOnce("the gateway of this channel does not allow zato.pubsub.delivery.get-server-pid-for-sub-key: " +
		"if the server stops delivering a durable subscription, its messages wait until the next reconnect: " +
		"allow that service, or mount the channel on connect.gateway (zato/README.md)")
}
