package wsxtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Defaults and limits of a publication.
const (
	defaultPriority   = 5
	defaultExpiration = 86400 // seconds, and the longest
)

// publish is zato.pubsub.pubapi.publish-message. It ignores mime_type,
// ext_client_id, ext_pub_time and msg_id (transcript publish-subscribe).
func (c *session) publish(inv Invocation) (outcome, error) {
	fields := object(inv.Request)
	name := text(fields["topic_name"])
	if name == "" {
		return outcome{}, internalError()
	}
	topic, exists := c.srv.broker.topic(name)
	if !exists || slices.Contains(c.channel.NoPublish, name) {
		return outcome{}, notAllowed()
	}
	if isFalsy(fields["data"]) {
		return outcome{}, &StatusError{400, "No data sent on input"}
	}
	m := &message{topic: name, correlID: text(fields["correl_id"]), inReplyTo: text(fields["in_reply_to"])}
	setDefault(&m.correlID, inv.CID)
	content := pythonText(fields["data"])
	m.size = len(content)
	var err error
	if m.data, err = json.Marshal(content); err != nil {
		return outcome{}, err
	}
	if m.priority, err = readPriority(fields["priority"]); err != nil {
		return outcome{}, err
	}
	if m.expiration, err = readExpiration(fields["expiration"]); err != nil {
		return outcome{}, err
	}
	if m.guaranteed, err = readGuaranteed(fields["has_gd"], topic.GuaranteedDelivery); err != nil {
		return outcome{}, err
	}
	c.srv.accept(m)
	return outcome{result: fmt.Appendf(nil, `{"msg_id":%q}`, m.id)}, nil
}

// accept gives a message its id and time and queues it.
func (s *Server) accept(m *message) {
	m.id, m.published = "zpsm"+newID(), time.Now()
	s.recorder.published(m)
	s.broker.publish(m)
}

// object reads the fields of a JSON object; anything else has none.
func object(raw json.RawMessage) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(raw, &fields) // which leaves it empty
	return fields
}

// readInt reads a number, or a text of digits as Python's int() does.
func readInt(raw json.RawMessage) (int64, error) {
	n, err := strconv.ParseInt(text(raw), 10, 64)
	if err != nil {
		return 0, internalError()
	}
	return n, nil
}

func absent(raw json.RawMessage) bool {
	return text(raw) == "" // null and "" too
}

func readPriority(raw json.RawMessage) (int, error) {
	if absent(raw) {
		return defaultPriority, nil
	}
	n, err := readInt(raw)
	if err == nil && (n < 1 || n > 9) {
		return 0, &StatusError{400, fmt.Sprintf("Priority `%d` outside of allowed range 1-9", n)}
	}
	return int(n), err
}

func readExpiration(raw json.RawMessage) (int64, error) {
	if absent(raw) {
		return defaultExpiration, nil
	}
	n, err := readInt(raw)
	switch {
	case err != nil:
		return 0, err
	case n < 0:
		return 0, &StatusError{400, fmt.Sprintf("Expiration `%d` must not be negative", n)}
	case n == 0:
		return defaultExpiration, nil
	}
	return min(n, defaultExpiration), nil
}

func readGuaranteed(raw json.RawMessage, ofTopic bool) (bool, error) {
	if absent(raw) {
		return ofTopic, nil
	}
	guaranteed, err := strconv.ParseBool(text(raw))
	if err != nil {
		return false, internalError()
	}
	return guaranteed, nil
}

// PublishOptions says more about a message. Fields at zero have the defaults of
// the server.
type PublishOptions struct {
	// Priority is 1 to 9, 5 by default; 9 is the most urgent.
	Priority int
	// Expiration is in seconds, a day by default and at most.
	Expiration int64
	// CorrelID is a new id by default.
	CorrelID  string
	InReplyTo string
	// GuaranteedDelivery overrides what applies to the topic.
	GuaranteedDelivery *bool
}

// Publish publishes as a service of the server would: data that is no text
// reaches subscribers as the JSON that it is.
func (s *Server) Publish(topic string, data any, opts PublishOptions) (msgID string, err error) {
	t, exists := s.broker.topic(topic)
	if !exists {
		return "", fmt.Errorf("publishing: no topic %q", topic)
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return "", fmt.Errorf("publishing: %w", err)
	}
	setDefault(&opts.Priority, defaultPriority)
	setDefault(&opts.Expiration, defaultExpiration)
	setDefault(&opts.CorrelID, newID())
	m := &message{
		topic: topic, data: raw, size: len(pythonText(raw)),
		priority: opts.Priority, expiration: min(opts.Expiration, defaultExpiration),
		correlID: opts.CorrelID, inReplyTo: opts.InReplyTo, guaranteed: t.GuaranteedDelivery,
	}
	if opts.GuaranteedDelivery != nil {
		m.guaranteed = *opts.GuaranteedDelivery
	}
	s.accept(m)
	return m.id, nil
}
