package wsxtest

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
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
	if fields["topic_name"] == nil {
		return serviceOutcome{}, internalError()
	}
	if isAbsent(fields["data"]) {
		return serviceOutcome{}, &StatusError{400, "No data sent on input"}
	}
	if c.channel.NoEndpoint {
		c.sleep(endpointWait)
		return serviceOutcome{}, internalError()
	}
	topic, exists := c.srv.broker.topic(name)
	switch {
	case !exists || slices.Contains(c.channel.NoPublish, name):
		return serviceOutcome{}, notAllowed()
	case topic.Inactive:
		return serviceOutcome{}, inactiveTopic(name)
	}
	m, err := parseMessage(fields, topic)
	if err != nil {
		return serviceOutcome{}, err
	}
	setDefault(&m.correlID, inv.CID)
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

// parseMessage parses a publication to a topic.
func parseMessage(fields map[string]json.RawMessage, t Topic) (*message, error) {
	content := pythonStr(fields["data"])
	m := &message{
		topic: t.Name, data: quoteJSON(content), size: len(content),
		correlID: textField(fields["correl_id"]), inReplyTo: textField(fields["in_reply_to"]),
		extClientID: defaultExtClientID,
	}
	var err error
	if m.guaranteed, err = parseGuaranteed(fields["has_gd"], t.GuaranteedDelivery); err != nil {
		return nil, err
	}
	if m.priority, err = parsePriority(fields["priority"]); err != nil {
		return nil, err
	}
	m.expiration, err = parseExpiration(fields["expiration"])
	return m, err
}

func inactiveTopic(name string) error {
	return &StatusError{503, fmt.Sprintf("Topic is inactive `%s`", name)}
}

// enqueue sets the id and the time of a message and publishes it. It returns false if
// the topic drops the message.
func (s *Server) enqueue(m *message) bool {
	m.published = time.Now()
	if m.id == "" {
		m.id = newMessageID()
	}
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

// textField returns a field as a text.
func textField(raw json.RawMessage) string {
	if isAbsent(raw) {
		return ""
	}
	return pythonStr(raw)
}

// parseInt parses a value as Python's int() does: numbers without their fractions,
// booleans, and texts of digits. A value that Python treats as false is 0.
func parseInt(raw json.RawMessage) (*big.Int, error) {
	text := strings.TrimSpace(stringOf(raw))
	switch {
	case isFalsy(raw):
		return new(big.Int), nil
	case text == "true":
		return big.NewInt(1), nil
	case raw[0] != '"':
		number, _, err := big.ParseFloat(text, 10, 256, big.ToZero)
		if err != nil {
			return nil, internalError()
		}
		n, _ := number.Int(nil)
		return n, nil
	}
	n, isInt := new(big.Int).SetString(text, 10)
	if !isInt {
		return nil, internalError()
	}
	return n, nil
}

func isAbsent(raw json.RawMessage) bool {
	return stringOf(raw) == "" // also true for null and ""
}

func parsePriority(raw json.RawMessage) (int, error) {
	n, err := parseInt(raw)
	switch {
	case err != nil:
		return 0, err
	case n.Sign() == 0:
		return defaultPriority, nil
	case n.Sign() < 0 || n.Cmp(big.NewInt(9)) > 0:
		return 0, &StatusError{400, fmt.Sprintf("Priority `%d` outside of allowed range 1-9", n)}
	}
	return int(n.Int64()), nil
}

func parseExpiration(raw json.RawMessage) (int64, error) {
	n, err := parseInt(raw)
	switch {
	case err != nil:
		return 0, err
	case n.Sign() < 0:
		return 0, &StatusError{400, fmt.Sprintf("Expiration `%d` must not be negative", n)}
	case n.Sign() == 0 || n.Cmp(big.NewInt(defaultExpiration)) > 0:
		return defaultExpiration, nil
	}
	return n.Int64(), nil
}

// parseGuaranteed parses has_gd. Texts such as "yes" are true. The server takes a false one
// for one that is absent.
func parseGuaranteed(raw json.RawMessage, topicDefault bool) (bool, error) {
	switch text := strings.ToLower(stringOf(raw)); {
	case slices.Contains([]string{"true", "t", "yes", "y", "on", "1"}, text):
		return true, nil
	case isAbsent(raw), slices.Contains([]string{"false", "f", "no", "n", "off", "0"}, text):
		return topicDefault, nil
	}
	return false, internalError()
}

// PublishOptions are the optional fields of a message. A field that is zero has its
// documented default.
type PublishOptions struct {
	// Priority is from 1 to 9, the most urgent. The default is 5.
	Priority int
	// Expiration is in seconds. The default, and the maximum, is one day.
	Expiration int64
	// CorrelID is the correlation id. The default is none.
	CorrelID string
	// InReplyTo is the id of the message that this one replies to. The default is
	// empty.
	InReplyTo string
	// MsgID is the id of the message. The default is a new id.
	MsgID string
	// ExtClientID is the publisher's name. The default is empty.
	ExtClientID string
	// GuaranteedDelivery, if not nil, overrides the setting of the topic.
	GuaranteedDelivery *bool
}

// Publish publishes a message, as a service on the server would, and returns its id.
// Subscribers receive data as JSON if the message is stored, and as the text of indented
// JSON if it is in memory; a string is always a string (transcripts
// object-published-by-service-gd and object-published-by-service-ram). It is an error
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
	m := &message{
		id: opts.MsgID, topic: topic, data: raw, size: len(serviceText(raw)),
		priority: opts.Priority, expiration: min(opts.Expiration, defaultExpiration),
		correlID: opts.CorrelID, inReplyTo: opts.InReplyTo, extClientID: opts.ExtClientID,
		guaranteed: t.GuaranteedDelivery,
	}
	if opts.GuaranteedDelivery != nil {
		m.guaranteed = *opts.GuaranteedDelivery
	}
	if !s.enqueue(m) {
		return "", nil
	}
	return m.id, nil
}

// serviceText returns the text that Zato keeps of what a service publishes.
func serviceText(data json.RawMessage) string {
	var text string
	if json.Unmarshal(data, &text) == nil {
		return text
	}
	return string(formatJSON(data))
}
