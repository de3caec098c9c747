package wsx

import (
	"fmt"
	"time"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// Message is one message of a topic. A field that the server left out is empty. Times
// are the server's text: ISO 8601 in UTC, without a zone.
type Message struct {
	Topic    string
	SubKey   SubKey
	MsgID    string
	CorrelID string
	// InReplyTo, ExtClientID and GroupID are the publisher's.
	InReplyTo   string
	ExtClientID string
	GroupID     string
	// Data is the published text. If a service published a value that is not a text, it
	// is the JSON of that value, with numbers unchanged. Data may share a block of
	// memory of up to 64 KiB with other messages.
	Data []byte
	// MimeType is always application/json from a 3.3 server (docs/protocol.md,
	// "Publishing").
	MimeType string
	// Priority is 1 to 9; 9 is the highest.
	Priority int
	// Expiration is in seconds from publication. Size is the server's count.
	Expiration int64
	Size       int64
	// DeliveryCount is the server's count of deliveries, 1 for the first.
	DeliveryCount  int
	PubTime        string
	ExtPubTime     string
	ExpirationTime string
	RecvTime       string
}

// serverTime is the layout of the times of a message, in UTC.
const serverTime = "2006-01-02T15:04:05.999999"

// Expired reports whether the message had expired already when the server took it from its
// queue, by the server's clock. It is false if the server did not say when that was. A
// server sends expired messages when a subscription is resumed (docs/protocol.md,
// "Delivery").
func (m *Message) Expired() bool {
	if m.ExpirationTime >= m.RecvTime { // also if RecvTime is empty; parsing costs more
		return false
	}
	expired, err := time.Parse(serverTime, m.ExpirationTime)
	received, recvErr := time.Parse(serverTime, m.RecvTime)
	return err == nil && recvErr == nil && expired.Before(received)
}

// Frame is the content of one WebSocket frame of messages: one message, or several that
// were due at once, in the server's order (by priority, then by time).
type Frame struct {
	// ID is the id of the frame itself.
	ID       string
	Messages []Message
	// Raw is the text of the frame, for ParseFrame. It is set only with Config.Persist.
	// Do not change it: the data of the messages may be parts of it.
	Raw []byte

	session *session // the one that read the frame
	done    func()   // from Config.Persist
}

// Done calls the function that Config.Persist returned for the frame, if any. Call it
// when the persisted copy is no longer needed.
func (f *Frame) Done() {
	if f.done != nil {
		f.done()
	}
}

// Persisted reports whether Config.Persist has persisted the frame.
func (f *Frame) Persisted() bool { return f.done != nil }

// ParseFrame parses the text of a frame that Config.Persist got. The frame takes over
// raw. ParseFrame fails if raw is not a valid frame of messages.
func ParseFrame(raw []byte) (Frame, error) {
	f, messages, err := wire.Decode(raw, true, (*Message).read)
	if err != nil {
		return Frame{}, err
	}
	if f.Meta.MsgType != wire.TypeMessages {
		return Frame{}, fmt.Errorf("a frame of the type %q has no messages", f.Meta.MsgType)
	}
	return Frame{ID: f.Meta.ID, Messages: messages, Raw: raw}, nil
}

// read sets the message from its form on the wire.
func (m *Message) read(from *wire.Message) {
	*m = Message{
		Topic: from.TopicName, SubKey: SubKey(from.SubKey), MsgID: from.MsgID, CorrelID: from.CorrelID,
		InReplyTo: from.InReplyTo, ExtClientID: from.ExtClientID, GroupID: from.GroupID,
		Data: from.Data, MimeType: from.MimeType, Priority: int(from.Priority),
		Expiration: from.Expiration, Size: from.Size, DeliveryCount: int(from.DeliveryCount),
		PubTime: from.PubTime, ExtPubTime: from.ExtPubTime,
		ExpirationTime: from.ExpirationTime, RecvTime: from.RecvTime,
	}
}
