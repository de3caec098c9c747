package input

import (
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/internal/tracing"
	"github.com/zato-connect/zato-connect/wsx"
)

// metadataField is a metadata field of a message. The documentation is generated from the same list.
type metadataField struct {
	name, description string
	// extra fields are set only with metadata: all. Eight fields are not extra: a ninth key doubles what a message
	// costs the engine.
	extra bool
	// text or number returns the value, or the zero value if the message has none. One of the two is set.
	text   func(*wsx.Message) string
	number func(*wsx.Message) int64
}

func metadataFields() []metadataField {
	return []metadataField{
		{name: metaTopic, description: "the topic", text: func(m *wsx.Message) string { return m.Topic }},
		{
			name: metaMsgID, description: "the message id that Zato assigned",
			text: func(m *wsx.Message) string { return m.MsgID },
		},
		{
			name: metaCorrelID, description: "the correlation id",
			text: func(m *wsx.Message) string { return m.CorrelID },
		},
		{
			name: "zato_in_reply_to", description: "the id of the message that this one answers",
			text: func(m *wsx.Message) string { return m.InReplyTo },
		},
		{
			name: "zato_priority", description: "the priority, from 1 to 9 (highest)",
			number: func(m *wsx.Message) int64 { return int64(m.Priority) },
		},
		{
			name: "zato_mime_type", description: "the MIME type of the content",
			text: func(m *wsx.Message) string { return m.MimeType },
		},
		{
			name: "zato_pub_time", description: "the time of publication, in UTC",
			text: func(m *wsx.Message) string { return m.PubTime },
		},
		{
			name: "zato_delivery_count", description: "how many times Zato has delivered the message, this time included",
			number: func(m *wsx.Message) int64 { return int64(m.DeliveryCount) },
		},
		{
			name: "zato_ext_client_id", description: "the publisher's id, as Zato reports it", extra: true,
			text: func(m *wsx.Message) string { return m.ExtClientID },
		},
		{
			name: "zato_group_id", description: "the id of the message's group", extra: true,
			text: func(m *wsx.Message) string { return m.GroupID },
		},
		{
			name: "zato_expiration", description: "the time to live, in seconds", extra: true,
			number: func(m *wsx.Message) int64 { return m.Expiration },
		},
		{
			name: "zato_size", description: "the size of the content, in bytes", extra: true,
			number: func(m *wsx.Message) int64 { return m.Size },
		},
		{
			name: "zato_ext_pub_time", description: "the time of publication that the publisher gave", extra: true,
			text: func(m *wsx.Message) string { return m.ExtPubTime },
		},
		{
			name: "zato_expiration_time", description: "the time at which the message expires, in UTC", extra: true,
			text: func(m *wsx.Message) string { return m.ExpirationTime },
		},
		{
			name: "zato_recv_time", description: "the time at which Zato accepted the message, in UTC", extra: true,
			text: func(m *wsx.Message) string { return m.RecvTime },
		},
	}
}

// metaReplayed is the metadata field that marks messages which an earlier process left in the journal.
const metaReplayed = "zato_replayed"

// metaExpired is the metadata field that marks messages which had expired when Zato sent them.
const metaExpired = "zato_expired"

// The metadata fields that a message's span has, too.
const (
	metaTopic    = "zato_topic"
	metaMsgID    = "zato_msg_id"
	metaCorrelID = "zato_correl_id"
)

// spanOf returns what the span of a message says, from the message's metadata.
func spanOf(msg *service.Message) tracing.Message {
	var m tracing.Message
	m.Destination, _ = msg.MetaGet(metaTopic)
	m.ID, _ = msg.MetaGet(metaMsgID)
	m.ConversationID, _ = msg.MetaGet(metaCorrelID)
	return m
}

// metadataOf returns the fields that are set with a value of the field metadata.
func metadataOf(mode string) []metadataField {
	var out []metadataField
	for _, f := range metadataFields() {
		if mode == metadataAll || (mode == metadataDefault && !f.extra) {
			out = append(out, f)
		}
	}
	return out
}

// newMessage returns a message for the pipeline. lastValues has the values of the message before, in the order of
// fields. A value that stays the same is taken from there, which saves an allocation.
func newMessage(m *wsx.Message, fields []metadataField, lastValues []any) *service.Message {
	out := service.NewMessage(m.Data)
	for i := range fields {
		if v := fields[i].value(m, lastValues[i]); v != nil {
			out.MetaSetMut(fields[i].name, v)
			lastValues[i] = v
		}
	}
	return out
}

// value returns the value of a field, or nil if the message has none. It returns last if that is equal.
func (f *metadataField) value(m *wsx.Message, last any) any {
	if f.number != nil {
		if n := f.number(m); n != 0 {
			return n
		}
		return nil
	}
	text := f.text(m)
	if text == "" {
		return nil
	}
	if lastText, ok := last.(string); ok && lastText == text {
		return last
	}
	return text
}
