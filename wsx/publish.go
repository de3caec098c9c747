package wsx

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

const servicePublish = "zato.pubsub.pubapi.publish-message"

// The lowest and the highest priority of a message. A priority of zero leaves the choice
// to the server, which uses 5.
const (
	MinPriority = 1
	MaxPriority = 9
)

// MaxIDLength is the length of the longest MsgID, CorrelID, InReplyTo and MimeType, in
// characters. It is that of their columns in Zato's database.
const MaxIDLength = 200

// Publication is one message to publish. Topic and Data are required. Empty fields are
// not sent. A 3.3 server keeps Priority, Expiration, CorrelID and InReplyTo and ignores
// MimeType, ExtClientID, ExtPubTime and MsgID (docs/protocol.md, "Publishing"). With
// PublishList, it keeps these too.
type Publication struct {
	Topic string
	// Data is the content. It is always sent as text because an object would arrive in
	// Python's notation.
	Data string
	// Priority is 1 to 9, where 9 is the highest, or 0 for the server's default.
	Priority int
	// Expiration is in seconds from now, or 0 for the server's default.
	Expiration int64
	// MimeType, CorrelID, InReplyTo and MsgID have up to MaxIDLength characters.
	MimeType    string
	CorrelID    string
	InReplyTo   string
	ExtClientID string
	// ExtPubTime is ISO 8601, in UTC.
	ExtPubTime string
	// HasGD turns guaranteed delivery on or off. Nil leaves it to the topic. So does false
	// without the companion services.
	HasGD *bool
	// MsgID is the caller's id of the published message.
	MsgID string
	// MessageID is the caller's id of the request, as in Call.
	MessageID string
	// Deadline is when the call is abandoned, as in Call.
	Deadline time.Time
}

// Validate returns an *InvalidError if the server would refuse or change the message. To
// some invalid messages, the server answers a bare 500.
func (p *Publication) Validate() error {
	switch {
	case p.Topic == "":
		return &InvalidError{"topic", "is empty"}
	case p.Data == "":
		return &InvalidError{"data", "is empty, which Zato refuses to publish"}
	case !utf8.ValidString(p.Data):
		return &InvalidError{"data", "is not valid UTF-8: encode binary content, for example as base64"}
	case p.Priority != 0 && (p.Priority < MinPriority || p.Priority > MaxPriority):
		return &InvalidError{"priority", fmt.Sprintf("is %d: use %d to %d", p.Priority, MinPriority, MaxPriority)}
	case p.Expiration < 0:
		return &InvalidError{"expiration", fmt.Sprintf("is %d: use a positive number of seconds", p.Expiration)}
	}
	for _, f := range []struct {
		name, value string
		maxLength   int
	}{
		{"topic", p.Topic, 0},
		{"mime_type", p.MimeType, MaxIDLength},
		{"correl_id", p.CorrelID, MaxIDLength},
		{"in_reply_to", p.InReplyTo, MaxIDLength},
		{"ext_client_id", p.ExtClientID, 0},
		{"ext_pub_time", p.ExtPubTime, 0},
		{"msg_id", p.MsgID, MaxIDLength},
	} {
		if !utf8.ValidString(f.value) {
			return &InvalidError{f.name, "is not valid UTF-8"}
		}
		if n := utf8.RuneCountInString(f.value); f.maxLength > 0 && n > f.maxLength {
			return &InvalidError{f.name, fmt.Sprintf("has %d characters: use up to %d", n, f.maxLength)}
		}
	}
	return nil
}

// request returns the publication as it goes over the wire.
func (p *Publication) request() json.RawMessage {
	out := append(make([]byte, 0, p.sizeHint()), '{')
	out = wire.AppendText(out, "topic_name", p.Topic)
	return append(p.appendFields(out), '}')
}

// sizeHint returns about how many bytes the publication takes on the wire.
func (p *Publication) sizeHint() int {
	const rest = 256 // bytes for everything but the data
	return len(p.Data) + len(p.Data)/8 + rest
}

// appendFields appends the fields of the message, without its topic, to an open JSON object.
func (p *Publication) appendFields(out []byte) []byte {
	out = wire.AppendText(out, "data", p.Data)
	out = wire.AppendBool(out, "has_gd", p.HasGD)
	out = wire.AppendNumber(out, "priority", int64(p.Priority))
	out = wire.AppendNumber(out, "expiration", p.Expiration)
	out = wire.AppendText(out, "mime_type", p.MimeType)
	out = wire.AppendText(out, "correl_id", p.CorrelID)
	out = wire.AppendText(out, "in_reply_to", p.InReplyTo)
	out = wire.AppendText(out, "ext_client_id", p.ExtClientID)
	out = wire.AppendText(out, "ext_pub_time", p.ExtPubTime)
	return wire.AppendText(out, "msg_id", p.MsgID)
}

// Publish publishes one message and returns the id that the server gave it. The id is empty
// if the server dropped the message, because the topic has no subscriber and is set up to
// drop such messages. Publish waits and fails as Call does. If Validate fails, Publish
// returns its error and sends nothing.
//
// If Described says that the gateway offers AbilityPublishDepth, Publish publishes as
// PublishList does, and fails with a *TopicFullError if the topic is full. On any other
// gateway, the server loses what it publishes to a full topic without guaranteed delivery.
func (c *Client) Publish(ctx context.Context, p Publication) (string, error) {
	if d := c.Described(); d != nil && d.Offers(AbilityPublishDepth) {
		return c.publishAlone(ctx, p)
	}
	op := operation{"publishing to topic", p.Topic}
	if err := p.Validate(); err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	data := wire.Invocation(servicePublish, p.request())
	resp, err := c.do(ctx, op, p.MessageID, p.Deadline, &data)
	if err != nil {
		return "", err
	}
	msgID, err := wire.MsgID(resp.Data)
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	return msgID, nil
}
