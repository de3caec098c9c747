package wsxtest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// Zato's services for subscriptions.
const (
	serviceSubscribe   = "zato.pubsub.pubapi.subscribe-wsx"
	serviceCreate      = "zato.pubsub.subscription.create-wsx-subscription"
	serviceResume      = "zato.pubsub.resume-wsx-subscription"
	serviceUnsubscribe = "zato.pubsub.pubapi.unsubscribe"
)

type subscribeRequest struct {
	Topic  string `json:"topic_name"`
	SubKey string `json:"sub_key"`
	Unsub  *bool  `json:"unsub_on_wsx_close"`
}

var (
	errStock   = errors.New("the stock gateway cannot do this")
	errUnknown = errors.New("no such subscription")
)

// subscribeWSX subscribes, durably if asked. The stock gateway reads an input
// element that it does not declare and fails (publish-subscribe).
func (s *Session) subscribeWSX(_ context.Context, inv Invocation) (any, error) {
	if s.channel.Gateway == Stock {
		return nil, errStock
	}
	return s.subscribe(inv)
}

// createSubscription subscribes until the connection ends.
func (s *Session) createSubscription(_ context.Context, inv Invocation) (any, error) {
	return s.subscribe(inv)
}

func (s *Session) subscribe(inv Invocation) (any, error) {
	var request subscribeRequest
	if err := json.Unmarshal(inv.Request, &request); err != nil {
		return nil, err
	}
	switch {
	case request.Topic == "":
		return nil, errors.New("no topic_name")
	case s.server.topic(request.Topic) == nil:
		return nil, &StatusError{Status: http.StatusNotFound, Message: "Not found"}
	case slices.Contains(s.channel.NoSubscribe, request.Topic):
		return nil, &StatusError{Status: http.StatusForbidden, Message: textForbidden}
	}
	sub := newSubscription("zpsk.wsx."+inv.ClientID+"."+newID("")[:6], request.Topic)
	sub.durable = inv.Service == serviceSubscribe && request.Unsub != nil && !*request.Unsub
	s.server.mu.Lock()
	sub.hold(s, s.server.handover)
	s.server.subs[sub.key] = sub
	t := s.server.topics[request.Topic]
	backlog := t.backlog
	t.backlog = nil
	for _, m := range backlog {
		sub.accept(m)
	}
	if s.server.repeats && len(backlog) > 0 {
		sub.accept(backlog[0])
	}
	s.server.mu.Unlock()
	s.pushEarly()
	return map[string]string{"sub_key": sub.key}, nil
}

// resume takes a subscription over (durable).
func (s *Session) resume(_ context.Context, inv Invocation) (any, error) {
	var request subscribeRequest
	if err := json.Unmarshal(inv.Request, &request); err != nil {
		return nil, err
	}
	s.sleep(s.server.resumeTime)
	if s.channel.Gateway == Stock {
		return nil, errStock
	}
	s.server.mu.Lock()
	sub := s.server.subs[request.SubKey]
	if sub != nil {
		sub.hold(s, s.server.handover)
	}
	s.server.mu.Unlock()
	if sub == nil {
		return nil, errUnknown
	}
	s.pushEarly()
	return "", nil
}

// pushEarly pushes what waits before the answer, where that is asked for.
func (s *Session) pushEarly() {
	if s.server.pushFirst {
		_ = s.deliverRound()
	}
}

// unsubscribe needs the topic beside the key, and may be repeated. Behind its
// answer comes what the server forgot to cross off (backlog-gd).
func (s *Session) unsubscribe(_ context.Context, inv Invocation) (any, error) {
	var request subscribeRequest
	if err := json.Unmarshal(inv.Request, &request); err != nil {
		return nil, err
	}
	if request.SubKey == "" || request.Topic == "" {
		return nil, errors.New("no sub_key or no topic_name")
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if sub := s.server.subs[request.SubKey]; sub != nil {
		delete(s.server.subs, request.SubKey)
		if stale := sub.stale; len(stale) > 0 {
			s.after(func() { _ = s.push(sub, stale) })
		}
	}
	return emptyDict{}, nil
}

// SubscriptionInfo describes one subscription at the server.
type SubscriptionInfo struct {
	SubKey, Topic string
	Durable, Held bool
	// Queued messages wait; Lost ones died in memory with a connection.
	Queued, Lost int
}

// Subscriptions lists the subscriptions, by key.
func (s *Server) Subscriptions() []SubscriptionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []SubscriptionInfo
	for _, sub := range s.subs {
		info := SubscriptionInfo{
			SubKey: sub.key, Topic: sub.topic, Durable: sub.durable, Held: sub.holder != nil,
			Queued: len(sub.waiting), Lost: sub.lost,
		}
		for _, assigned := range sub.assigned {
			info.Queued += len(assigned)
		}
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b SubscriptionInfo) int { return strings.Compare(a.SubKey, b.SubKey) })
	return out
}
