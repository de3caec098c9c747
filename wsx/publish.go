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

// The priorities of messages. Zero leaves the choice to the server, which takes
// 5.
const (
	MinPriority = 1
	MaxPriority = 9
)

// Publication is one message to be published. Topic and Data are required; what
// is empty is not sent. A 3.3 server keeps Priority, Expiration, CorrelID and
// InReplyTo and ignores MimeType, ExtClientID, ExtPubTime and MsgID
// (docs/protocol.md, "Publishing").
type Publication struct {
	Topic string
	// Data is the content, always sent as text: an object would arrive as the
	// Python notation of itself.
	Data string
	// Priority is 1 to 9, the highest first; 0 for the server's default.
	Priority int
	// Expiration is in seconds from now; 0 for the server's default.
	Expiration  int64
	MimeType    string
	CorrelID    string
	InReplyTo   string
	ExtClientID string
	// ExtPubTime is ISO 8601, in UTC.
	ExtPubTime string
	// HasGD asks for guaranteed delivery or for none of it; nil for the topic's
	// own setting.
	HasGD *bool
	// MsgID is the caller's id of the published message, MessageID that of the
	// frame which carries the request.
	MsgID     string
	MessageID string
	// Deadline is as that of Call.
	Deadline time.Time
}

// Validate says what the server would refuse or spoil: it answers a bare 500 to
// some of it.
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
	for _, f := range []struct{ name, value string }{
		{"topic", p.Topic},
		{"mime_type", p.MimeType},
		{"correl_id", p.CorrelID},
		{"in_reply_to", p.InReplyTo},
		{"ext_client_id", p.ExtClientID},
		{"ext_pub_time", p.ExtPubTime},
		{"msg_id", p.MsgID},
	} {
		if !utf8.ValidString(f.value) {
			return &InvalidError{f.name, "is not valid UTF-8"}
		}
	}
	return nil
}

// request is the publication on the wire.
func (p *Publication) request() json.RawMessage {
	const rest = 256 // bytes, beside the data and what is escaped in it
	out := append(make([]byte, 0, len(p.Data)+len(p.Data)/8+rest), '{')
	out = wire.AppendText(out, "topic_name", p.Topic)
	out = wire.AppendText(out, "data", p.Data)
	out = wire.AppendBool(out, "has_gd", p.HasGD)
	out = wire.AppendNumber(out, "priority", int64(p.Priority))
	out = wire.AppendNumber(out, "expiration", p.Expiration)
	out = wire.AppendText(out, "mime_type", p.MimeType)
	out = wire.AppendText(out, "correl_id", p.CorrelID)
	out = wire.AppendText(out, "in_reply_to", p.InReplyTo)
	out = wire.AppendText(out, "ext_client_id", p.ExtClientID)
	out = wire.AppendText(out, "ext_pub_time", p.ExtPubTime)
	out = wire.AppendText(out, "msg_id", p.MsgID)
	return append(out, '}')
}

// Publish publishes one message and returns the id that the server gave it. It
// waits and fails as Call does; an argument that the server would refuse is an
// *InvalidError and is not sent.
func (c *Client) Publish(ctx context.Context, p Publication) (string, error) {
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
