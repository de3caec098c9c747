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
	// value returns "" or int64(0) for what the message does not have.
	value func(*wsx.Message) any
}

func metadataFields() []metadataField {
	return []metadataField{
		{metaTopic, "the topic", "", func(m *wsx.Message) any { return m.Topic }},
		{metaMsgID, "Zato's id of the message", "", func(m *wsx.Message) any { return m.MsgID }},
		{metaCorrelID, "the correlation id", "", func(m *wsx.Message) any { return m.CorrelID }},
		{"zato_in_reply_to", "the message that it answers", "", func(m *wsx.Message) any { return m.InReplyTo }},
		{"zato_priority", "1 to 9, the highest first", "", func(m *wsx.Message) any { return int64(m.Priority) }},
		{"zato_mime_type", "the type of the content", "", func(m *wsx.Message) any { return m.MimeType }},
		{"zato_pub_time", "when it was published, UTC", "", func(m *wsx.Message) any { return m.PubTime }},
		{"zato_delivery_count", "which delivery this is", "", func(m *wsx.Message) any { return int64(m.DeliveryCount) }},
		{
			"zato_ext_client_id", "the publisher's id, as Zato gives it", metadataAll,
			func(m *wsx.Message) any { return m.ExtClientID },
		},
		{"zato_group_id", "the group of messages", metadataAll, func(m *wsx.Message) any { return m.GroupID }},
		{"zato_expiration", "its life in seconds", metadataAll, func(m *wsx.Message) any { return m.Expiration }},
		{"zato_size", "the size of the content in bytes", metadataAll, func(m *wsx.Message) any { return m.Size }},
		{
			"zato_ext_pub_time", "when it was published, as the publisher says", metadataAll,
			func(m *wsx.Message) any { return m.ExtPubTime },
		},
		{"zato_expiration_time", "when it expires, UTC", metadataAll, func(m *wsx.Message) any { return m.ExpirationTime }},
		{
			"zato_recv_time", "when Zato took it for delivery, UTC", metadataAll,
			func(m *wsx.Message) any { return m.RecvTime },
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

// newMessage makes a message of the pipeline.
func newMessage(m *wsx.Message, fields []metadataField) *service.Message {
	out := service.NewMessage(m.Data)
	for _, f := range fields {
		if v := f.value(m); v != "" && v != int64(0) {
			out.MetaSetMut(f.name, v)
		}
	}
	return out
}
