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
// The messages' data points into raw where it is the messages' own, but for texts with
// escapes.
func split(raw []byte, own bool) (*Frame, bool) {
	s := splitter{scanner: scanner{text: raw}, frame: &Frame{}, own: own}
	ok := s.object(s.part) && s.end() && s.frame.Meta.MsgType != ""
	s.frame.Meta.Status = int(s.status)
	return s.frame, ok
}

// splitter is the state of split.
type splitter struct {
	scanner

	frame   *Frame
	own     bool // data may point into the text
	status  int64
	data    bool   // was read
	left    int    // how many messages are taken to follow
	layout  layout // of the last message
	scratch []byte
	texts   strings.Builder // that the texts of the messages are parts of
	bytes   []byte          // that their data is a part of, where it is copied
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
		data, ok := s.any()
		s.frame.Data = bytes.Clone(data)
		return ok
	}
	if s.peek() == '[' {
		return s.list(s.nextMessage)
	}
	s.frame.Messages = make([]Message, 1)
	return s.message(&s.frame.Messages[0])
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

// nextMessage reads one more message of a list.
func (s *splitter) nextMessage() bool {
	n := len(s.frame.Messages)
	start := s.at
	s.frame.Messages = append(s.frame.Messages, Message{})
	if n > 0 {
		s.left--
		return s.later(&s.frame.Messages[n], &s.frame.Messages[n-1])
	}
	if !s.message(&s.frame.Messages[0]) {
		return false
	}
	// Those that follow are taken to be as long as the first one.
	s.left = min(maxList, (len(s.text)-s.at)/(s.at-start))
	s.frame.Messages = slices.Grow(s.frame.Messages, s.left)
	return true
}

// message reads a message.
func (s *splitter) message(m *Message) bool {
	var none Message
	return s.object(func(name []byte) bool {
		f, ok := fieldOf(name)
		return ok && s.value(f, m, &none)
	})
}

// later reads a message that is not the first one.
func (s *splitter) later(m, before *Message) bool {
	start := s.at
	if s.alike(m, before) {
		return true
	}
	s.at, *m = start, Message{}
	return s.noted(m, before)
}

// layout is how a message is written.
type layout struct {
	places []place
	end    []byte // what stands behind the last value
}

// place is where a value stands in a message.
type place struct {
	field

	name   []byte
	before []byte // what stands between it and the value before
	last   []byte // the value in the last message
}

// Servers write fewer than usualPlaces values into a message. One that has more than
// maxPlaces is not noted.
const usualPlaces, maxPlaces = 20, 64

// noted reads a message and notes how it is written.
func (s *splitter) noted(m, before *Message) bool {
	s.layout.places = slices.Grow(s.layout.places[:0], usualPlaces)
	last := s.at
	odd := false
	ok := s.object(func(name []byte) bool {
		f, ok := fieldOf(name)
		s.peek()
		start := s.at
		ok = ok && s.value(f, m, before)
		// With a name twice it could not be told whose value a message has.
		odd = odd || len(s.layout.places) == maxPlaces ||
			slices.ContainsFunc(s.layout.places, func(p place) bool { return bytes.Equal(p.name, name) })
		if !odd {
			s.layout.places = append(s.layout.places, place{f, name, s.text[last:start], s.text[start:s.at]})
		}
		last = s.at
		return ok
	})
	s.layout.end = s.text[last:s.at]
	if odd {
		s.layout.places = nil
	}
	return ok
}

// alike reads a message that is written as the one before it, which nearly all are:
// what stands between the values is only compared, and so is a text that is the same.
// It returns false for another, of which it may have read a part.
func (s *splitter) alike(m, before *Message) bool {
	if len(s.layout.places) == 0 {
		return false
	}
	for i := range s.layout.places {
		p := &s.layout.places[i]
		if !s.skipText(p.before) {
			return false
		}
		start := s.at
		if p.text != nil && p.last[0] == '"' && s.skipText(p.last) {
			*p.text(m) = *p.text(before)
			continue
		}
		if p.number != nil && s.skipText(p.last) && s.afterNumber() {
			*p.number(m) = *p.number(before)
			continue
		}
		s.at = start
		if !s.value(p.field, m, before) {
			return false
		}
		p.last = s.text[start:s.at]
	}
	return s.skipText(s.layout.end)
}

// afterNumber tells whether what is behind a number is no more of it.
func (s *splitter) afterNumber() bool {
	return s.at < len(s.text) && (s.text[s.at] == ',' || s.text[s.at] == '}' || s.text[s.at] <= ' ')
}

// value reads the value of a field.
func (s *splitter) value(f field, m, before *Message) bool {
	switch {
	case f.data:
		return s.content(&m.Data)
	case f.text != nil:
		return s.string(f.text(m), *f.text(before))
	case f.number != nil:
		return s.integer(f.number(m))
	}
	_, ok := s.any()
	return ok
}

// other reads what nobody asked for.
func (s *splitter) other(name []byte) bool {
	if !foreign(name) {
		return false
	}
	_, ok := s.any()
	return ok
}

// foreign tells whether a name that is not known here is not known to encoding/json
// either, which does not look at the case of letters.
func foreign(name []byte) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// string reads a string, or null, which changes nothing. One that is equal to the
// former one takes no memory.
func (s *splitter) string(to *string, former string) bool {
	if s.peek() != '"' {
		return s.word("null")
	}
	body, _, ok := s.unquoted()
	if string(body) == former {
		*to = former
	} else {
		*to = s.keep(body)
	}
	return ok
}

// unquoted reads the string before whose quote the scanner stands, and returns its text.
// One that had escapes is in memory that is used again.
func (s *splitter) unquoted() (text []byte, escaped, ok bool) {
	s.at++
	start := s.at
	s.at += plain(s.text[s.at:])
	if s.skip('"') {
		return s.text[start : s.at-1], false, true
	}
	s.scratch, ok = s.appendUnescaped(append(s.scratch[:0], s.text[start:s.at]...))
	return s.scratch, true, ok
}

// Strings and data are cut from chunks, so that a frame of hundreds of messages takes
// few allocations, and a message that is kept does not keep more than a chunk of each.
const (
	minTexts = 256
	maxTexts = 4 << 10
	maxBytes = 64 << 10
	// largeData has memory of its own, which need not be cleared first.
	largeData = 4 << 10
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
	var data []byte
	var escaped, ok bool
	if s.peek() == '"' {
		data, escaped, ok = s.unquoted()
	} else {
		data, ok = s.any()
	}
	switch {
	case (s.own && !escaped) || len(data) == 0:
		*to = data[:len(data):len(data)]
		return ok
	case len(data) >= largeData:
		*to = bytes.Clone(data)
		return ok
	}
	if cap(s.bytes)-len(s.bytes) < len(data) {
		// As much is taken to follow in each message.
		s.bytes = make([]byte, 0, max(len(data), min(maxBytes, len(data)*(1+max(0, s.left)))))
	}
	start := len(s.bytes)
	s.bytes = append(s.bytes, data...)
	*to = s.bytes[start:len(s.bytes):len(s.bytes)]
	return ok
}
