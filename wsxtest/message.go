package wsxtest

import (
	"cmp"
	"encoding/json"
	"time"
)

// message is a published message. All its subscribers share it.
type message struct {
	id, topic  string
	data       json.RawMessage
	size       int // bytes, not characters (transcript publish-subscribe)
	priority   int
	expiration int64 // seconds
	correlID   string
	inReplyTo  string
	// extClientID is the publisher's for a message of connect.publish only.
	extClientID string
	mimeType    string    // the publisher's, of a message of connect.publish
	extPubTime  time.Time // zero if the publisher set none
	guaranteed  bool
	published   time.Time
}

func (m *message) expires() time.Time {
	return m.published.Add(time.Duration(m.expiration) * time.Second)
}

// content returns the data as it is pushed. What a service publishes in memory becomes a
// text (transcript object-published-by-service-ram).
func (m *message) content() json.RawMessage {
	if m.guaranteed || m.data[0] == '"' {
		return m.data
	}
	return quoteJSON(serviceText(m.data))
}

// defaultMimeType is that of messages that are published one by one. Zato ignores the
// publisher's.
const defaultMimeType = "application/json"

// pushedMessage is a message on the wire. Its fields are in Zato's order.
type pushedMessage struct {
	Data              json.RawMessage `json:"data"`
	DeliveryCount     int             `json:"delivery_count"`
	Expiration        int64           `json:"expiration"`
	ExpirationTimeISO string          `json:"expiration_time_iso"`
	ExtClientID       string          `json:"ext_client_id"`
	ExtPubTime        float64         `json:"ext_pub_time,omitempty"` // seconds since 1970
	ExtPubTimeISO     string          `json:"ext_pub_time_iso"`
	GroupID           *string         `json:"group_id,omitempty"`
	InReplyTo         *string         `json:"in_reply_to,omitempty"`
	MimeType          string          `json:"mime_type"`
	PositionInGroup   int             `json:"position_in_group"`
	Priority          int             `json:"priority"`
	PubTimeISO        string          `json:"pub_time_iso"`
	RecvTimeISO       string          `json:"recv_time_iso"`
	Size              int             `json:"size"`
	SubKey            string          `json:"sub_key"`
	TopicName         string          `json:"topic_name"`
	MsgID             string          `json:"msg_id"`
	CorrelID          string          `json:"correl_id,omitempty"`
}

// pushed returns the item as it is pushed to a subscription.
func (it *item) pushed(subKey string) pushedMessage {
	m := it.msg
	pushed := pushedMessage{
		Data:              m.content(),
		DeliveryCount:     int(it.deliveries.Load()) + 1,
		Expiration:        m.expiration,
		ExpirationTimeISO: isoTime(m.expires()),
		ExtClientID:       m.extClientID,
		MimeType:          cmp.Or(m.mimeType, defaultMimeType),
		PositionInGroup:   1,
		Priority:          m.priority,
		PubTimeISO:        isoTime(m.published),
		RecvTimeISO:       isoTime(it.received),
		Size:              m.size,
		SubKey:            subKey,
		TopicName:         m.topic,
		MsgID:             m.id,
		CorrelID:          m.correlID,
	}
	if !m.extPubTime.IsZero() {
		pushed.ExtPubTime, pushed.ExtPubTimeISO = epoch(m.extPubTime), isoTime(m.extPubTime)
	}
	if !m.guaranteed {
		pushed.GroupID, pushed.InReplyTo = new(string), &m.inReplyTo
	} else if m.inReplyTo != "" {
		pushed.InReplyTo = &m.inReplyTo
	}
	return pushed
}
