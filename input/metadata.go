package input

import (
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/internal/tracing"
	"github.com/zato-connect/zato-connect/wsx"
)

// metadataField is one piece of metadata of a message. The documentation is made
// of the same list as the messages.
type metadataField struct {
	name, description string
	// only is metadataAll for what is not there by default. Eight are: the ninth
	// key doubles what a message costs the engine.
	only string
	// text or number returns the value, "" or 0 for what the message does not have.
	text   func(*wsx.Message) string
	number func(*wsx.Message) int64
}

func metadataFields() []metadataField {
	return []metadataField{
		{name: metaTopic, description: "the topic", text: func(m *wsx.Message) string { return m.Topic }},
		{
			name: metaMsgID, description: "Zato's id of the message",
			text: func(m *wsx.Message) string { return m.MsgID },
		},
		{
			name: metaCorrelID, description: "the correlation id",
			text: func(m *wsx.Message) string { return m.CorrelID },
		},
		{
			name: "zato_in_reply_to", description: "the message that it answers",
			text: func(m *wsx.Message) string { return m.InReplyTo },
		},
		{
			name: "zato_priority", description: "1 to 9, the highest first",
			number: func(m *wsx.Message) int64 { return int64(m.Priority) },
		},
		{
			name: "zato_mime_type", description: "the type of the content",
			text: func(m *wsx.Message) string { return m.MimeType },
		},
		{
			name: "zato_pub_time", description: "when it was published, UTC",
			text: func(m *wsx.Message) string { return m.PubTime },
		},
		{
			name: "zato_delivery_count", description: "which delivery this is",
			number: func(m *wsx.Message) int64 { return int64(m.DeliveryCount) },
		},
		{
			name: "zato_ext_client_id", description: "the publisher's id, as Zato gives it", only: metadataAll,
			text: func(m *wsx.Message) string { return m.ExtClientID },
		},
		{
			name: "zato_group_id", description: "the group of messages", only: metadataAll,
			text: func(m *wsx.Message) string { return m.GroupID },
		},
		{
			name: "zato_expiration", description: "its life in seconds", only: metadataAll,
			number: func(m *wsx.Message) int64 { return m.Expiration },
		},
		{
			name: "zato_size", description: "the size of the content in bytes", only: metadataAll,
			number: func(m *wsx.Message) int64 { return m.Size },
		},
		{
			name: "zato_ext_pub_time", description: "when it was published, as the publisher says", only: metadataAll,
			text: func(m *wsx.Message) string { return m.ExtPubTime },
		},
		{
			name: "zato_expiration_time", description: "when it expires, UTC", only: metadataAll,
			text: func(m *wsx.Message) string { return m.ExpirationTime },
		},
		{
			name: "zato_recv_time", description: "when Zato took it for delivery, UTC", only: metadataAll,
			text: func(m *wsx.Message) string { return m.RecvTime },
		},
	}
}

// metaReplayed is set where the journal of an earlier process gave a message.
const metaReplayed = "zato_replayed"

// The metadata that the span of a message says, too.
const (
	metaTopic    = "zato_topic"
	metaMsgID    = "zato_msg_id"
	metaCorrelID = "zato_correl_id"
)

// spanOf says of a message what its metadata does.
func spanOf(msg *service.Message) tracing.Message {
	var m tracing.Message
	m.Destination, _ = msg.MetaGet(metaTopic)
	m.ID, _ = msg.MetaGet(metaMsgID)
	m.ConversationID, _ = msg.MetaGet(metaCorrelID)
	return m
}

// metadataOf returns the fields that a mode sets.
func metadataOf(mode string) []metadataField {
	var out []metadataField
	for _, f := range metadataFields() {
		if mode == metadataAll || (mode == metadataDefault && f.only == "") {
			out = append(out, f)
		}
	}
	return out
}

// newMessage makes a message of the pipeline. The values of the message before it,
// in the order of the fields, are used again where they are the same: each that is
// not would be an allocation.
func newMessage(m *wsx.Message, fields []metadataField, before []any) *service.Message {
	out := service.NewMessage(m.Data)
	for i := range fields {
		if v := fields[i].value(m, before[i]); v != nil {
			out.MetaSetMut(fields[i].name, v)
			before[i] = v
		}
	}
	return out
}

// value is the value of a field, nil where the message has none.
func (f *metadataField) value(m *wsx.Message, before any) any {
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
	if former, ok := before.(string); ok && former == text {
		return before
	}
	return text
}
