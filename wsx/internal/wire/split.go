package wire

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// split reads a frame in one pass, many times faster than encoding/json. It returns
// false for one that is not valid, and for what is valid and no server writes: names
// that are not in lower case, data in front of meta, a number as a text and the like.
// For those there is encoding/json.
//
// The messages' data points into raw, but for texts with escapes.
func split(raw []byte) (*Frame, bool) {
	s := splitter{scanner: scanner{text: raw}, frame: &Frame{}}
	ok := s.object(s.part) && s.end() && s.frame.Meta.MsgType != ""
	s.frame.Meta.Status = int(s.status)
	return s.frame, ok
}

// splitter is the state of split.
type splitter struct {
	scanner

	frame   *Frame
	status  int64
	data    bool // was read
	scratch []byte
	texts   strings.Builder // that the texts of the messages are parts of
	bytes   []byte          // that their data is a part of, where it had escapes
}

// part reads a part of the frame.
func (s *splitter) part(name []byte) bool {
	switch string(name) {
	case "meta":
		return !s.data && s.object(s.meta)
	case "data":
		if s.data || s.frame.Meta.MsgType == "" {
			return false
		}
		s.data = true
		return s.readData()
	}
	return s.other(name)
}

// readData reads the data of the frame.
func (s *splitter) readData() bool {
	if s.frame.Meta.MsgType != TypeMessages {
		data, ok := s.value(0)
		s.frame.Data = bytes.Clone(data)
		return ok
	}
	if s.peek() == '[' {
		return s.messages()
	}
	return s.message()
}

// meta reads a part of the frame's meta.
func (s *splitter) meta(name []byte) bool {
	switch string(name) {
	case "id":
		return s.string(&s.frame.Meta.ID, "")
	case "msg_type":
		return s.string(&s.frame.Meta.MsgType, TypeMessages)
	case "status":
		return s.integer(&s.status)
	case "in_reply_to":
		return s.string(&s.frame.Meta.InReplyTo, "")
	case "error_message":
		return s.string(&s.frame.Meta.ErrorMessage, "")
	}
	return s.other(name)
}

// maxList is how many messages servers put into a list at most.
const maxList = 500

// messages reads a list of messages.
func (s *splitter) messages() bool {
	start := s.at
	return s.list(func() bool {
		if len(s.frame.Messages) == 1 {
			// Those that follow are taken to be as long as the first one.
			left := min(maxList, (len(s.text)-start)/(s.at-start))
			s.frame.Messages = slices.Grow(s.frame.Messages, left)
		}
		return s.message()
	})
}

// message reads a message.
func (s *splitter) message() bool {
	s.frame.Messages = append(s.frame.Messages, Message{})
	n := len(s.frame.Messages)
	m, before := &s.frame.Messages[n-1], &Message{}
	if n > 1 {
		before = &s.frame.Messages[n-2]
	}
	return s.object(func(name []byte) bool {
		if to, former := textFields(name, m, before); to != nil {
			return s.string(to, *former)
		}
		if to := numberField(name, m); to != nil {
			return s.integer(to)
		}
		if string(name) == "data" {
			return s.content(&m.Data)
		}
		return s.other(name)
	})
}

// textFields returns the text of a name in two messages, nil where there is none.
func textFields(name []byte, a, b *Message) (inA, inB *string) {
	switch string(name) {
	case "topic_name":
		return &a.TopicName, &b.TopicName
	case "sub_key":
		return &a.SubKey, &b.SubKey
	case "msg_id":
		return &a.MsgID, &b.MsgID
	case "correl_id":
		return &a.CorrelID, &b.CorrelID
	case "in_reply_to":
		return &a.InReplyTo, &b.InReplyTo
	case "ext_client_id":
		return &a.ExtClientID, &b.ExtClientID
	case "group_id":
		return &a.GroupID, &b.GroupID
	case "mime_type":
		return &a.MimeType, &b.MimeType
	case "pub_time_iso":
		return &a.PubTime, &b.PubTime
	case "ext_pub_time_iso":
		return &a.ExtPubTime, &b.ExtPubTime
	case "expiration_time_iso":
		return &a.ExpirationTime, &b.ExpirationTime
	case "recv_time_iso":
		return &a.RecvTime, &b.RecvTime
	}
	return nil, nil
}

// numberField returns the number of a name in a message, nil where there is none.
func numberField(name []byte, m *Message) *int64 {
	switch string(name) {
	case "position_in_group":
		return &m.PositionInGroup
	case "priority":
		return &m.Priority
	case "expiration":
		return &m.Expiration
	case "size":
		return &m.Size
	case "delivery_count":
		return &m.DeliveryCount
	}
	return nil
}

// other reads what nobody asked for. A name that encoding/json might take for one
// that it knows, for it does not look at the case of letters, is left to it.
func (s *splitter) other(name []byte) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	_, ok := s.value(0)
	return ok
}

// string reads a string, or null, which changes nothing. One that is equal to the
// former one takes no memory.
func (s *splitter) string(to *string, former string) bool {
	if s.word("null") {
		return true
	}
	body, escaped, ok := s.quoted()
	if escaped {
		s.scratch = appendUnescaped(s.scratch[:0], body)
		body = s.scratch
	}
	if string(body) == former {
		*to = former
	} else {
		*to = s.keep(body)
	}
	return ok
}

// Strings and data are cut from chunks, so that a frame of hundreds of messages takes
// few allocations, and a message that is kept does not keep more than a chunk of each.
const (
	minTexts = 256
	maxTexts = 4 << 10
	maxBytes = 64 << 10
)

// keep copies a text.
func (s *splitter) keep(text []byte) string {
	if s.texts.Cap()-s.texts.Len() < len(text) {
		size := min(max(minTexts, 2*s.texts.Cap()), maxTexts)
		s.texts.Reset()
		s.texts.Grow(max(size, len(text)))
	}
	start := s.texts.Len()
	s.texts.Write(text)
	return s.texts.String()[start:]
}

// integer reads an integer, or null, which changes nothing.
func (s *splitter) integer(to *int64) bool {
	if s.word("null") {
		return true
	}
	start := s.at // behind the white space
	if !s.number() {
		return false
	}
	n, err := strconv.ParseInt(string(s.text[start:s.at]), 10, 64)
	*to = n
	return err == nil
}

// content reads data as Content does.
func (s *splitter) content(to *content) bool {
	if s.peek() != '"' {
		text, ok := s.value(0)
		*to = text
		return ok
	}
	body, escaped, ok := s.quoted()
	if escaped {
		if cap(s.bytes)-len(s.bytes) < len(body) {
			// What is left of the frame is room enough for what is left of its data.
			s.bytes = make([]byte, 0, max(len(body), min(maxBytes, len(body)+len(s.text)-s.at)))
		}
		start := len(s.bytes)
		s.bytes = appendUnescaped(s.bytes, body)
		body = s.bytes[start:len(s.bytes):len(s.bytes)]
	}
	*to = body
	return ok
}
