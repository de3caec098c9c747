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
	defaultExpiration = 86400 // seconds; also the maximum
	// defaultExtClientID is that of messages that are published one by one.
	defaultExtClientID = "zato.pubsub.pubapi.topic-service"
)

// publish is the service zato.pubsub.pubapi.publish-message. It ignores mime_type,
// ext_client_id, ext_pub_time and msg_id (transcript publish-subscribe).
func (c *session) publish(inv Invocation) (serviceOutcome, error) {
	fields := fieldsOf(inv.Request)
	name := stringOf(fields["topic_name"])
	if name == "" {
		return serviceOutcome{}, internalError()
	}
	if isAbsent(fields["data"]) {
		return serviceOutcome{}, &StatusError{400, "No data sent on input"}
	}
	topic, exists := c.srv.broker.topic(name)
	switch {
	case !exists || slices.Contains(c.channel.NoPublish, name):
		return serviceOutcome{}, notAllowed()
	case topic.Inactive:
		return serviceOutcome{}, inactiveTopic(name)
	}
	m := &message{topic: name, correlID: stringOf(fields["correl_id"]), inReplyTo: stringOf(fields["in_reply_to"])}
	setDefault(&m.correlID, inv.CID)
	content := pythonStr(fields["data"])
	m.size = len(content)
	var err error
	if m.data, err = json.Marshal(content); err != nil {
		return serviceOutcome{}, err
	}
	if m.priority, err = parsePriority(fields["priority"]); err != nil {
		return serviceOutcome{}, err
	}
	if m.expiration, err = parseExpiration(fields["expiration"]); err != nil {
		return serviceOutcome{}, err
	}
	if m.guaranteed, err = parseGuaranteed(fields["has_gd"], topic.GuaranteedDelivery); err != nil {
		return serviceOutcome{}, err
	}
	if m.guaranteed && hasLoneSurrogate(fields["data"]) {
		return serviceOutcome{}, internalError() // the database cannot store it (transcript odd-text)
	}
	if m.guaranteed && c.srv.broker.isFull(name) {
		const text = "Publication rejected - would exceed GD max depth for `%s`"
		return serviceOutcome{}, &StatusError{503, fmt.Sprintf(text, name)}
	}
	if !c.srv.enqueue(m) {
		return serviceOutcome{result: json.RawMessage(`{"msg_id":null}`)}, nil
	}
	return serviceOutcome{result: fmt.Appendf(nil, `{"msg_id":%q}`, m.id)}, nil
}

func inactiveTopic(name string) error {
	return &StatusError{503, fmt.Sprintf("Topic is inactive `%s`", name)}
}

// enqueue sets the id and the time of a message and publishes it. It returns false if
// the topic drops the message.
func (s *Server) enqueue(m *message) bool {
	m.published, m.extClientID = time.Now(), defaultExtClientID
	m.id = newMessageID()
	if s.broker.drops(m.topic) {
		return false
	}
	s.recorder.addPublished(m)
	s.broker.publish(m)
	return true
}

func newMessageID() string {
	return "zpsm" + newID()
}

// fieldsOf returns the fields of a JSON object, nil for any other JSON.
func fieldsOf(raw json.RawMessage) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(raw, &fields) // an error leaves fields empty
	return fields
}

// parseInt parses what Python's int() does: a number, whose fraction it drops, a string
// of digits, or a boolean.
func parseInt(raw json.RawMessage) (int64, error) {
	var number float64
	text := stringOf(raw)
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err == nil:
		return n, nil
	case text == "true":
		return 1, nil
	case json.Unmarshal(raw, &number) == nil:
		return int64(number), nil
	}
	return 0, internalError()
}

func isAbsent(raw json.RawMessage) bool {
	return stringOf(raw) == "" // also true for null and ""
}

func parsePriority(raw json.RawMessage) (int, error) {
	if isFalsy(raw) {
		return defaultPriority, nil
	}
	n, err := parseInt(raw)
	if err == nil && (n < 1 || n > 9) {
		return 0, &StatusError{400, fmt.Sprintf("Priority `%d` outside of allowed range 1-9", n)}
	}
	return int(n), err
}

func parseExpiration(raw json.RawMessage) (int64, error) {
	if isFalsy(raw) {
		return defaultExpiration, nil
	}
	n, err := parseInt(raw)
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

func parseGuaranteed(raw json.RawMessage, topicDefault bool) (bool, error) {
	if isAbsent(raw) {
		return topicDefault, nil
	}
	guaranteed, err := strconv.ParseBool(stringOf(raw))
	if err != nil {
		return false, internalError()
	}
	return guaranteed, nil
}

// PublishOptions are the optional fields of a message. A field that is zero has its
// documented default.
type PublishOptions struct {
	// Priority is from 1 to 9, the most urgent. The default is 5.
	Priority int
	// Expiration is in seconds. The default, and the maximum, is one day.
	Expiration int64
	// CorrelID is the correlation id. The default is a new id.
	CorrelID string
	// InReplyTo is the id of the message that this one replies to. The default is
	// empty.
	InReplyTo string
	// GuaranteedDelivery, if not nil, overrides the setting of the topic.
	GuaranteedDelivery *bool
}

// Publish publishes a message, as a service on the server would, and returns its id.
// Subscribers receive data as JSON; it is not converted to a string. It is an error
// if the topic does not exist or data cannot be encoded. The id is empty if the topic
// drops the message.
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
		topic: topic, data: raw, size: len(pythonStr(raw)),
		priority: opts.Priority, expiration: min(opts.Expiration, defaultExpiration),
		correlID: opts.CorrelID, inReplyTo: opts.InReplyTo, guaranteed: t.GuaranteedDelivery,
	}
	if opts.GuaranteedDelivery != nil {
		m.guaranteed = *opts.GuaranteedDelivery
	}
	if !s.enqueue(m) {
		return "", nil
	}
	return m.id, nil
}
