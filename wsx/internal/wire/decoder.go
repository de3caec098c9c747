package wire

import (
	"strconv"
	"strings"
	"sync"
)

// decode reads a frame in one pass, many times faster than encoding/json. It returns
// false for one that is not valid, and for what is valid and no server writes: names
// that are not in lower case, data in front of meta, a number as a text and the like.
// For those there is encoding/json.
//
// Each message goes to give, which must not keep it, with the number of those that are
// taken to follow. Its data points into raw where that is the messages' own, but for texts
// with escapes.
func (s *frameDecoder) decode(raw []byte, own bool, give func(m *Message, more int)) (Frame, bool) {
	s.scanner, s.reading = scanner{text: raw}, reading{aliasInput: own, emit: give}
	ok := s.object(s.field) && s.end() && s.frame.Meta.MsgType != ""
	s.frame.Meta.Status = int(s.status)
	f := s.frame
	s.reset(ok)
	return f, ok
}

// frameDecoders have what is useful for the next frame: memory, and how messages are written.
var frameDecoders = sync.Pool{ //nolint:gochecknoglobals // it is there to be shared
	New: func() any { return new(frameDecoder) },
}

// frameDecoder is the state of split.
type frameDecoder struct {
	scanner
	reading

	collector any        // of the messages of a frame
	kind      string     // of the last frame
	template  template   // of the last message
	messages  [2]Message // the last two
	last      int        // which of them is the last one
	scratch   []byte
	strings   strings.Builder // that the texts of the messages are parts of
	dataChunk []byte          // that data is a part of, where it is copied
}

// reading is what belongs to one frame.
type reading struct {
	frame      Frame
	aliasInput bool // data may point into the text
	emit       func(m *Message, more int)
	status     int64
	data       bool // was read
	count      int  // how many messages were read, and
	remaining  int  // are taken to follow
}

// reset leaves what is useful for the next frame. What was found in the midst of one
// that is not valid is not.
func (s *frameDecoder) reset(valid bool) {
	switch {
	case !valid:
		s.template, s.messages = template{}, [2]Message{}
	case s.count > 0:
		s.template.snapshot()
		s.messages[0].Data, s.messages[1].Data = nil, nil
	}
	if cap(s.scratch) > maxBytes {
		s.scratch = nil
	}
	if cap(s.dataChunk) > maxBytes {
		s.dataChunk = nil
	}
	s.scanner, s.reading = scanner{}, reading{}
}

// field reads a part of the frame.
func (s *frameDecoder) field(name []byte) bool {
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
func (s *frameDecoder) readData() bool {
	if s.frame.Meta.MsgType != TypeMessages {
		data, ok := s.any()
		s.frame.Data = s.copyData(data)
		return ok
	}
	if s.peek() == '[' {
		return s.items(s.message)
	}
	return s.message()
}

// meta reads a part of the frame's meta.
func (s *frameDecoder) meta(name []byte) bool {
	switch string(name) {
	case "id":
		return s.string(&s.frame.Meta.ID, "")
	case "msg_type":
		ok := s.string(&s.frame.Meta.MsgType, s.kind)
		s.kind = s.frame.Meta.MsgType
		return ok
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

// message reads one more message.
func (s *frameDecoder) message() bool {
	s.peek() // what stands in front of it may differ
	start := s.at
	before := &s.messages[s.last]
	s.last = 1 - s.last
	m := &s.messages[s.last]
	if !s.matchTemplate(m, before) {
		s.at, *m = start, Message{}
		if !s.learn(m, before) {
			return false
		}
	}
	if s.count == 0 {
		// Those that follow are taken to be as long as the first one.
		s.remaining = min(maxList, (len(s.text)-s.at)/(s.at-start))
	} else if s.remaining > 0 {
		s.remaining--
	}
	s.count++
	s.emit(m, s.remaining)
	return true
}

// value reads the value of a field.
func (s *frameDecoder) value(f field, m, before *Message) bool {
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
func (s *frameDecoder) other(name []byte) bool {
	if !unknownField(name) {
		return false
	}
	_, ok := s.any()
	return ok
}

// unknownField tells whether a name that is not known here is not known to encoding/json
// either, which does not look at the case of letters.
func unknownField(name []byte) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// string reads a string, or null, which changes nothing. One that is equal to the
// former one takes no memory.
func (s *frameDecoder) string(to *string, former string) bool {
	if s.peek() != '"' {
		return s.literal("null")
	}
	body, _, ok := s.unquoted()
	if string(body) == former {
		*to = former
	} else {
		*to = s.intern(body)
	}
	return ok
}

// unquoted reads the string before whose quote the scanner stands, and returns its text.
// One that had escapes is in memory that is used again.
func (s *frameDecoder) unquoted() (text []byte, escaped, ok bool) {
	s.at++
	start := s.at
	s.at += plainPrefix(s.text[s.at:])
	if s.skip('"') {
		return s.text[start : s.at-1], false, true
	}
	s.scratch, ok = s.appendUnescaped(append(s.scratch[:0], s.text[start:s.at]...))
	return s.scratch, true, ok
}

// Strings and data are cut from chunks, so that a frame of hundreds of messages takes
// few allocations, and so do hundreds of small frames. A message that is kept does not
// keep more than a chunk of each.
const (
	minTexts = 256
	maxTexts = 4 << 10
	minBytes = 1 << 10
	maxBytes = 64 << 10
)

// intern copies a text.
func (s *frameDecoder) intern(text []byte) string {
	if s.strings.Cap()-s.strings.Len() < len(text) {
		size := min(max(minTexts, 2*s.strings.Cap()), maxTexts)
		s.strings.Reset()
		s.strings.Grow(max(size, len(text)))
	}
	start := s.strings.Len()
	s.strings.Write(text)
	return s.strings.String()[start:]
}

// integer reads an integer, or null, which changes nothing.
func (s *frameDecoder) integer(to *int64) bool {
	if s.literal("null") {
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
func (s *frameDecoder) content(to *content) bool {
	var data []byte
	var escaped, ok bool
	if s.peek() == '"' {
		data, escaped, ok = s.unquoted()
	} else {
		data, ok = s.any()
	}
	if s.aliasInput && !escaped {
		*to = data[:len(data):len(data)]
	} else {
		*to = s.copyData(data)
	}
	return ok
}

// copyData copies data. As much is taken to follow in each message that is left.
func (s *frameDecoder) copyData(data []byte) []byte {
	if len(data) == 0 {
		return []byte{}
	}
	if cap(s.dataChunk)-len(s.dataChunk) < len(data) {
		s.dataChunk = make([]byte, 0, max(len(data), minBytes, min(maxBytes, len(data)*(1+max(0, s.remaining)))))
	}
	start := len(s.dataChunk)
	s.dataChunk = append(s.dataChunk, data...)
	return s.dataChunk[start:len(s.dataChunk):len(s.dataChunk)]
}
