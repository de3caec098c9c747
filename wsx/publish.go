package wsx

import (
	"context"
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

// publishRequest is a Publication on the wire.
type publishRequest struct {
	TopicName   string `json:"topic_name"`
	Data        string `json:"data"`
	HasGD       *bool  `json:"has_gd,omitempty"`
	Priority    int    `json:"priority,omitempty"`
	Expiration  int64  `json:"expiration,omitempty"`
	MimeType    string `json:"mime_type,omitempty"`
	CorrelID    string `json:"correl_id,omitempty"`
	InReplyTo   string `json:"in_reply_to,omitempty"`
	ExtClientID string `json:"ext_client_id,omitempty"`
	ExtPubTime  string `json:"ext_pub_time,omitempty"`
	MsgID       string `json:"msg_id,omitempty"`
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

// Publish publishes one message and returns the id that the server gave it. It
// waits and fails as Call does; an argument that the server would refuse is an
// *InvalidError and is not sent.
func (c *Client) Publish(ctx context.Context, p Publication) (string, error) {
	op := operation{"publishing to topic", p.Topic}
	if err := p.Validate(); err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	request, err := wire.JSON(&publishRequest{
		TopicName: p.Topic, Data: p.Data, HasGD: p.HasGD, Priority: p.Priority,
		Expiration: p.Expiration, MimeType: p.MimeType, CorrelID: p.CorrelID,
		InReplyTo: p.InReplyTo, ExtClientID: p.ExtClientID, ExtPubTime: p.ExtPubTime, MsgID: p.MsgID,
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	data := wire.Invocation(servicePublish, request)
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
