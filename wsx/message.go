package wsx

import (
	"fmt"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// Message is one message of a topic. What the server left out is empty. Times
// are the server's own text: UTC, ISO 8601, no zone.
type Message struct {
	Topic    string
	SubKey   SubKey
	MsgID    string
	CorrelID string
	// InReplyTo, ExtClientID and GroupID are the publisher's, where it gave them.
	InReplyTo   string
	ExtClientID string
	GroupID     string
	// Data is the text that was published, a part of a piece of memory of 64 KiB at most
	// that it may share with other messages. Where a service published something that is
	// not a text, it is that thing's JSON, numbers untouched.
	Data []byte
	// MimeType is always application/json from a 3.3 server, whatever was
	// published (docs/protocol.md, "Publishing").
	MimeType string
	// Priority is 1 to 9, the highest first.
	Priority int
	// Expiration is in seconds from publication, Size in the server's count.
	Expiration int64
	Size       int64
	// DeliveryCount is 1 for the first delivery, by the server's count.
	DeliveryCount  int
	PubTime        string
	ExtPubTime     string
	ExpirationTime string
	RecvTime       string
}

// Frame is what one WebSocket frame brought: one message, or several that were
// due at once, in the server's order (by priority, then time).
type Frame struct {
	// ID is the frame's own id.
	ID       string
	Messages []Message
	// Raw is the frame's text, for ParseFrame. It is there with Config.Persist only, and is
	// not to be changed, as the data of the messages may be parts of it.
	Raw []byte

	session *session // that it came over
	done    func()   // what Config.Persist returned
}

// Done says that a frame need not be kept any more, where Config.Persist has kept it.
func (f *Frame) Done() {
	if f.done != nil {
		f.done()
	}
}

// Persisted tells whether Config.Persist has kept the frame.
func (f *Frame) Persisted() bool { return f.done != nil }

// ParseFrame makes a frame of its text again, which a program may have kept. The frame
// owns the text then. It fails where the text is not that of a frame of messages.
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

// read makes a message of what the server sent.
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
