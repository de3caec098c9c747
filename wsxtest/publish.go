package wsxtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const servicePublish = "zato.pubsub.pubapi.publish-message"

const (
	defaultPriority = 5
	// defaultExpiration is also the longest, in seconds (publish-subscribe).
	defaultExpiration = 86400
)

// publishRequest is what a publisher may send.
type publishRequest struct {
	Topic      string          `json:"topic_name"`
	Data       json.RawMessage `json:"data"`
	HasGD      *bool           `json:"has_gd"`
	Priority   json.RawMessage `json:"priority"`
	Expiration json.RawMessage `json:"expiration"`
	CorrelID   string          `json:"correl_id"`
	InReplyTo  string          `json:"in_reply_to"`
}

// publish is Zato's service for publishing. The order of its checks is the
// server's (publish-subscribe).
func (s *Session) publish(_ context.Context, inv Invocation) (any, error) {
	var request publishRequest
	if err := json.Unmarshal(inv.Request, &request); err != nil {
		return nil, err
	}
	m, err := s.message(&request)
	if err != nil {
		return nil, err
	}
	if m.correlID == "" {
		m.correlID = inv.CID
	}
	s.server.accept(m)
	return map[string]string{"msg_id": m.id}, nil
}

func (s *Session) message(request *publishRequest) (*message, error) {
	priority, err := number(request.Priority, defaultPriority)
	if err != nil {
		return nil, err
	}
	expiration, err := number(request.Expiration, defaultExpiration)
	switch {
	case err != nil:
		return nil, err
	case request.Topic == "":
		return nil, errors.New("no topic_name")
	case isFalse(request.Data):
		return nil, &StatusError{Status: http.StatusBadRequest, Message: "No data sent on input"}
	case slices.Contains(s.channel.NoPublish, request.Topic), s.server.topic(request.Topic) == nil:
		return nil, &StatusError{Status: http.StatusForbidden, Message: textForbidden}
	case priority < 1 || priority > 9:
		text := fmt.Sprintf("Priority `%d` outside of allowed range 1-9", priority)
		return nil, &StatusError{Status: http.StatusBadRequest, Message: text}
	}
	data, err := encode(pythonText(request.Data))
	if err != nil {
		return nil, err
	}
	return s.server.newMessage(request.Topic, data, PublishOptions{
		Priority: priority, Expiration: time.Duration(expiration) * time.Second,
		CorrelID: request.CorrelID, InReplyTo: request.InReplyTo, GuaranteedDelivery: request.HasGD,
	}), nil
}

// number reads a whole number, as a number or as digits.
func number(raw json.RawMessage, fallback int) (int, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return fallback, nil
	}
	digits, ok := text(raw)
	if !ok {
		digits = string(raw)
	}
	return strconv.Atoi(digits)
}

// PublishOptions are what a service at the server may say of a message.
type PublishOptions struct {
	// Priority is 5 by default, Expiration a day.
	Priority            int
	Expiration          time.Duration
	CorrelID, InReplyTo string
	// GuaranteedDelivery overrides the topic's own setting.
	GuaranteedDelivery *bool
}

// Publish publishes as a service at the server does: data that is no text stays
// what it is. It returns the message's id.
func (s *Server) Publish(topic string, data any, opts PublishOptions) (string, error) {
	if s.topic(topic) == nil {
		return "", fmt.Errorf("there is no topic %q", topic)
	}
	raw, err := encode(data)
	if err != nil {
		return "", err
	}
	m := s.newMessage(topic, raw, opts)
	s.accept(m)
	return m.id, nil
}

// topic finds a topic; nil if there is none.
func (s *Server) topic(name string) *topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[name]
	if t == nil && s.anyTopic {
		t = &topic{Topic: Topic{Name: name}}
		s.topics[name] = t
	}
	return t
}

func (s *Server) newMessage(topic string, data json.RawMessage, opts PublishOptions) *message {
	setDefault(&opts.Priority, defaultPriority)
	setDefault(&opts.Expiration, defaultExpiration*time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	m := &message{
		id: newID("zpsm"), topic: topic, data: data, seq: s.seq, published: time.Now(),
		priority: opts.Priority, expiration: min(opts.Expiration, defaultExpiration*time.Second),
		correlID: opts.CorrelID, inReplyTo: opts.InReplyTo, guaranteed: s.topics[topic].GuaranteedDelivery,
	}
	if opts.GuaranteedDelivery != nil {
		m.guaranteed = *opts.GuaranteedDelivery
	}
	return m
}

// maxBacklog bounds what a topic keeps for its first subscriber, in messages.
const maxBacklog = 1_000_000

// accept hands a message to every subscription of its topic. What nobody
// subscribes to waits for the first who does.
func (s *Server) accept(m *message) {
	s.account.published(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := false
	for _, sub := range s.subs {
		if sub.topic == m.topic {
			sub.accept(m)
			taken = true
		}
	}
	t := s.topics[m.topic]
	if !taken && len(t.backlog) < maxBacklog {
		t.backlog = append(t.backlog, m)
	}
}
