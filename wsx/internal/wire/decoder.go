package wire

import (
	"strconv"
	"strings"
	"sync"
)

// decode parses a frame in one pass, many times faster than encoding/json. It reports false
// for invalid JSON and for valid JSON that no server writes, such as field names with
// capital letters, data before meta, or a string in place of a number. The caller decodes
// those frames with encoding/json.
//
// decode passes each message to emit, together with an estimate of how many messages
// follow. emit must not keep the message. If aliasInput is true, a message's data points
// into raw, unless it is a string with escapes. Otherwise the data is a copy.
func (d *frameDecoder) decode(raw []byte, aliasInput bool, emit func(m *Message, remaining int)) (Frame, bool) {
	d.scanner, d.frameState = scanner{text: raw}, frameState{aliasInput: aliasInput, emit: emit}
	ok := d.readObject(d.readFrameField) && d.atEnd() && d.frame.Meta.MsgType != ""
	d.frame.Meta.Status = int(d.status)
	f := d.frame
	d.reset(ok)
	return f, ok
}

// frameDecoders pools decoders. A decoder carries its buffers and the template of the last
// message over to the next frame.
var frameDecoders = sync.Pool{ //nolint:gochecknoglobals // a pool is shared by design
	New: func() any { return &frameDecoder{fieldByName: fieldByName} },
}

// A frameDecoder decodes one frame at a time. It learns a template from a message and
// compares the following messages with it instead of parsing them, because servers write
// nearly all messages alike.
type frameDecoder struct {
	scanner
	frameState

	fieldByName func(name []byte) (field, bool)
	collector   any        // a *collector[M], which gathers the messages of a frame
	lastMsgType string     // msg_type of the last frame
	template    template   // the layout of the last message
	messages    [2]Message // the last two messages
	lastIndex   int        // index in messages of the last one
	scratch     []byte
	stringChunk strings.Builder // holds the strings of messages
	dataChunk   []byte          // holds copied data
}

// frameState is the part of a frameDecoder's state that belongs to one frame.
type frameState struct {
	frame        Frame
	aliasInput   bool // data may point into the input
	emit         func(m *Message, remaining int)
	status       int64
	dataRead     bool // the frame's data was read
	messageCount int  // messages read so far
	remaining    int  // messages estimated to follow
}

// reset prepares the decoder for the next frame. After an invalid frame it discards the
// template, because the frame may have broken off within a message.
func (d *frameDecoder) reset(valid bool) {
	switch {
	case !valid:
		d.template, d.messages = template{}, [2]Message{}
	case d.messageCount > 0:
		d.template.snapshot()
		d.messages[0].Data, d.messages[1].Data = nil, nil
	}
	if cap(d.scratch) > maxDataChunk {
		d.scratch = nil
	}
	if cap(d.dataChunk) > maxDataChunk {
		d.dataChunk = nil
	}
	d.scanner, d.frameState = scanner{}, frameState{}
}

// readFrameField reads the value of one of the frame's fields.
func (d *frameDecoder) readFrameField(name []byte) bool {
	switch string(name) {
	case "meta":
		return !d.dataRead && d.readObject(d.readMetaField)
	case "data":
		if d.dataRead || d.frame.Meta.MsgType == "" {
			return false
		}
		d.dataRead = true
		return d.readData()
	}
	return d.skipUnknownField(name)
}

// readData reads the frame's data.
func (d *frameDecoder) readData() bool {
	if d.frame.Meta.MsgType != TypeMessages {
		data, ok := d.readValue()
		d.frame.Data = d.copyData(data)
		return ok
	}
	if d.peek() == '[' {
		return d.readArray(d.readMessage)
	}
	return d.readMessage()
}

// readMetaField reads the value of one of the fields of the frame's meta.
func (d *frameDecoder) readMetaField(name []byte) bool {
	switch string(name) {
	case "id":
		return d.readString(&d.frame.Meta.ID, "")
	case "msg_type":
		ok := d.readString(&d.frame.Meta.MsgType, d.lastMsgType)
		d.lastMsgType = d.frame.Meta.MsgType
		return ok
	case "status":
		return d.readInteger(&d.status)
	case "in_reply_to":
		return d.readString(&d.frame.Meta.InReplyTo, "")
	case "error_message":
		return d.readString(&d.frame.Meta.ErrorMessage, "")
	}
	return d.skipUnknownField(name)
}

// maxMessages is the most messages that servers put into a frame.
const maxMessages = 500

// readMessage reads the next message and emits it. It tries the template of the last
// message first. If the message does not match, it starts over and learns a new template.
func (d *frameDecoder) readMessage() bool {
	d.peek() // the white space before a message may differ
	start := d.at
	prev := &d.messages[d.lastIndex]
	d.lastIndex = 1 - d.lastIndex
	m := &d.messages[d.lastIndex]
	if !d.matchTemplate(m, prev) {
		d.at, *m = start, Message{}
		if !d.learn(m, prev) {
			return false
		}
	}
	if d.messageCount == 0 {
		// Assume that the messages that follow are as long as the first one.
		d.remaining = min(maxMessages, (len(d.text)-d.at)/(d.at-start))
	} else if d.remaining > 0 {
		d.remaining--
	}
	d.messageCount++
	d.emit(m, d.remaining)
	return true
}

// readFieldValue reads the value of field f into m. A string that equals the one in prev
// shares its memory.
func (d *frameDecoder) readFieldValue(f field, m, prev *Message) bool {
	switch {
	case f.data:
		return d.readContent(&m.Data)
	case f.epoch:
		return d.readEpoch(f.text(m), *f.text(prev))
	case f.text != nil:
		return d.readString(f.text(m), *f.text(prev))
	case f.number != nil:
		return d.readInteger(f.number(m))
	}
	_, ok := d.readValue()
	return ok
}

// skipUnknownField skips the value of a field that the decoder does not use.
func (d *frameDecoder) skipUnknownField(name []byte) bool {
	if !canonicalName(name) {
		return false
	}
	_, ok := d.readValue()
	return ok
}

// canonicalName reports whether name consists of lower-case letters, digits and underscores
// only. encoding/json ignores case when it matches names, so only a canonical name that the
// decoder does not know is certain to be unknown to encoding/json too.
func canonicalName(name []byte) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// readString reads a string into dst. It leaves dst unchanged on null. A string equal to
// prev shares its memory, so it costs no allocation.
func (d *frameDecoder) readString(dst *string, prev string) bool {
	if d.peek() != '"' {
		return d.literal("null")
	}
	body, _, ok := d.readUnescaped()
	if string(body) == prev {
		*dst = prev
	} else {
		*dst = d.copyString(body)
	}
	return ok
}

// readUnescaped reads a string and returns its text without escapes. The scanner must be at
// the opening quote. If the string has escapes, the text is in d.scratch, which the next
// such string overwrites.
func (d *frameDecoder) readUnescaped() (text []byte, escaped, ok bool) {
	d.at++
	start := d.at
	d.at += plainPrefix(d.text[d.at:])
	if d.skipByte('"') {
		return d.text[start : d.at-1], false, true
	}
	d.scratch, ok = d.appendUnescaped(append(d.scratch[:0], d.text[start:d.at]...))
	return d.scratch, true, ok
}

// Strings and data are cut from chunks, so that a frame of hundreds of messages costs few
// allocations, and so do hundreds of small frames. A message that the program keeps retains
// at most one chunk of each kind.
const (
	minStringChunk = 256
	maxStringChunk = 4 << 10
	minDataChunk   = 1 << 10
	maxDataChunk   = 64 << 10
)

// copyString returns text as a string, cut from the string chunk.
func (d *frameDecoder) copyString(text []byte) string {
	if d.stringChunk.Cap()-d.stringChunk.Len() < len(text) {
		size := min(max(minStringChunk, 2*d.stringChunk.Cap()), maxStringChunk)
		d.stringChunk.Reset()
		d.stringChunk.Grow(max(size, len(text)))
	}
	start := d.stringChunk.Len()
	d.stringChunk.Write(text)
	return d.stringChunk.String()[start:]
}

// readInteger reads an integer into dst. It leaves dst unchanged on null.
func (d *frameDecoder) readInteger(dst *int64) bool {
	if d.literal("null") {
		return true
	}
	start := d.at // literal has skipped white space
	if !d.skipNumber() {
		return false
	}
	n, err := strconv.ParseInt(string(d.text[start:d.at]), 10, 64)
	*dst = n
	return err == nil
}

// readContent reads a message's data into dst, with the result that Content has.
func (d *frameDecoder) readContent(dst *content) bool {
	var data []byte
	var escaped, ok bool
	if d.peek() == '"' {
		data, escaped, ok = d.readUnescaped()
	} else {
		data, ok = d.readValue()
	}
	if d.aliasInput && !escaped {
		*dst = data[:len(data):len(data)]
	} else {
		*dst = d.copyData(data)
	}
	return ok
}

// copyData returns a copy of data, cut from the data chunk. A new chunk has room for the
// data of all messages that are estimated to follow, up to maxDataChunk.
func (d *frameDecoder) copyData(data []byte) []byte {
	if len(data) == 0 {
		return []byte{}
	}
	if cap(d.dataChunk)-len(d.dataChunk) < len(data) {
		d.dataChunk = make([]byte, 0, max(len(data), minDataChunk, min(maxDataChunk, len(data)*(1+max(0, d.remaining)))))
	}
	start := len(d.dataChunk)
	d.dataChunk = append(d.dataChunk, data...)
	return d.dataChunk[start:len(d.dataChunk):len(d.dataChunk)]
}
