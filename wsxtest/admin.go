package wsxtest

import (
	"fmt"
	"maps"
	"os"
	"slices"
)

// SetSecret changes the secret of the channel at a path. It affects future logins
// only. An unknown path is ignored.
func (s *Server) SetSecret(path, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.channels[path]; ch != nil {
		ch.Secret = secret
	}
}

// Deploy adds a service, or replaces one, as an administrator who deploys it does.
// Connections that are open use the new one at once (transcript hot-deploy).
func (s *Server) Deploy(name string, service Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services[name] = service
}

// service returns a service that is not built in, nil if there is none.
func (s *Server) service(name string) Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services[name]
}

// serviceNames returns the names of the services that are not built in, in order.
func (s *Server) serviceNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.services))
}

// DropSubscriptions deletes all subscriptions and their queues, as the loss of the
// server's database does. The server must be stopped.
func (s *Server) DropSubscriptions() {
	s.broker.dropAll()
}

// DeleteSubscription deletes a subscription and its queue, as an administrator does. The
// client gets no notice. An unknown key is ignored.
func (s *Server) DeleteSubscription(key string) {
	s.broker.deleteSubscription(key)
}

// DeleteTopic deletes a topic with its subscriptions, as an administrator does. Clients
// get no notice. An unknown topic is ignored.
func (s *Server) DeleteTopic(name string) {
	s.broker.deleteTopic(name)
}

// CreateTopic creates a topic, or changes the settings of one.
func (s *Server) CreateTopic(t Topic) {
	s.broker.addTopic(t)
}

// ClearTopic deletes the messages in memory that a topic has, as an administrator does.
// The topic accepts messages in memory again. An unknown topic is ignored.
func (s *Server) ClearTopic(name string) {
	s.broker.clearTopic(name)
}

// deleteTopic deletes a topic with all its subscriptions.
func (b *broker) deleteTopic(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	if t == nil {
		return
	}
	for _, sub := range slices.Clone(t.subs) {
		b.remove(sub)
	}
	for _, sub := range slices.Clone(t.named) {
		b.removeNamed(sub)
	}
	delete(b.topics, name)
}

// deleteSubscription deletes a subscription and its queue.
func (b *broker) deleteSubscription(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sub := b.subs[key]; sub != nil {
		b.remove(sub)
	}
	if sub := b.named[key]; sub != nil {
		b.removeNamed(sub)
	}
}

// dropAll drops all subscriptions.
func (b *broker) dropAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.subs)
	clear(b.attached)
	for _, sub := range b.named {
		b.removeNamed(sub)
	}
	for _, t := range b.topics {
		t.subs = nil
	}
}

// clearTopic deletes the messages in memory that a topic has.
func (b *broker) clearTopic(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	if t == nil {
		return
	}
	t.overflow = 0
	for _, sub := range t.subs {
		sub.items = slices.DeleteFunc(sub.items, (*item).inMemory)
	}
}

// serviceDelivery answers which process of the server delivers a subscription.
const serviceDelivery = "zato.pubsub.delivery.get-server-pid-for-sub-key"

// administrative returns the service with a name with which administrators look at
// subscriptions, or nil.
func (c *session) administrative(name string) func(Invocation) (serviceOutcome, error) {
	switch name {
	case serviceDelivery:
		return c.deliveryServer
	case "zato.pubsub.queue.get-queue-depth-by-sub-key":
		return c.queueDepth
	case "zato.pubsub.endpoint.get-endpoint-queue-non-gd-depth":
		return c.queueDepthInMemory
	}
	return nil
}

// deliveryServer answers which server process delivers the messages of a subscription
// (transcripts deaf-and-how-to-tell-gd and deaf-and-how-to-tell-ram).
func (c *session) deliveryServer(inv Invocation) (serviceOutcome, error) {
	key := stringOf(fieldsOf(inv.Request)["sub_key"])
	var delivered bool
	c.srv.broker.lookAt(key, func(sub *subscription) { delivered = sub.attachedTo != nil })
	if !delivered {
		return serviceOutcome{}, &StatusError{400, fmt.Sprintf("No such sub_key found `%s`", key)}
	}
	return answer(map[string]int{"server_pid": os.Getpid()})
}

// queueDepth answers how many messages of a subscription are stored, including those
// that were delivered.
func (c *session) queueDepth(inv Invocation) (serviceOutcome, error) {
	key := stringOf(fieldsOf(inv.Request)["sub_key"])
	depth := 0
	c.srv.broker.lookAt(key, func(sub *subscription) { depth = sub.stored })
	return answer(map[string]map[string]int{"queue_depth": {key: depth}})
}

// queueDepthInMemory answers how many messages in memory wait for a subscription.
func (c *session) queueDepthInMemory(inv Invocation) (serviceOutcome, error) {
	depth := 0
	c.srv.broker.lookAt(stringOf(fieldsOf(inv.Request)["sub_key"]), func(sub *subscription) {
		for _, it := range sub.items {
			if it.inMemory() {
				depth++
			}
		}
	})
	return answer(map[string]int{"current_depth_non_gd": depth})
}

// lookAt calls look with the subscription that has a key, if there is one.
func (b *broker) lookAt(key string, look func(*subscription)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sub := b.subs[key]; sub != nil {
		look(sub)
	}
}
