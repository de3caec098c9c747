package wire

import (
	"bytes"
	"slices"
)

// A template is the layout of a message: its fields in order, the text between their
// values, and the last value of each. Servers write nearly every message like the one
// before, so most of a message can be skipped by comparing bytes.
//
// learn makes a template of a message, and matchTemplate reads the following messages with
// it. buildRuns joins fields whose values have never changed into runs, which are compared
// as one text. At the end of a frame, snapshot copies the last values out of the frame.
type template struct {
	fields []templateField
	suffix []byte // text after the last value
	buf    []byte // backs the prefixes, the suffix and each field's buf
	dirty  bool   // a value in a run has changed, so the runs are out of date
}

// A templateField is one field of a template, in the order of the message.
type templateField struct {
	field

	prefix    []byte   // text between the previous value and this one
	lastValue []byte   // JSON of the value in the last message; strings and numbers only
	buf       []byte   // holds lastValue after its frame is gone
	inFrame   bool     // lastValue points into the current frame
	variable  bool     // the value has changed before, or is of a kind that is always read
	run       constRun // the run that begins with this field
}

// A constRun is the text of consecutive fields whose values have never changed, with their
// prefixes. Comparing it skips all of these fields at once.
type constRun struct {
	text   []byte
	fields int // 0 if no run begins here
}

// Servers write fewer than usualFields fields into a message, and usually less than
// usualTemplateSize bytes besides its data. A message with more than maxFields fields gets
// no template.
const usualFields, maxFields, usualTemplateSize = 20, 64, 1 << 10

// learn parses the next message into m and makes a template of it.
func (d *frameDecoder) learn(m, prev *Message) bool {
	t := template{fields: slices.Grow(d.template.fields[:0], usualFields), buf: make([]byte, 0, usualTemplateSize)}
	d.template = template{}
	names := make([][]byte, 0, usualFields)
	valueEnd := d.at
	irregular := false
	ok := d.readObject(func(name []byte) bool {
		f, ok := d.fieldByName(name)
		d.peek()
		start := d.at
		ok = ok && d.readFieldValue(f, m, prev)
		// A template could not say which value counts if a name occurred twice.
		irregular = irregular || len(names) == maxFields ||
			slices.ContainsFunc(names, func(other []byte) bool { return bytes.Equal(other, name) })
		if !irregular {
			names = append(names, name)
			tf := templateField{field: f, prefix: t.save(d.text[valueEnd:start]), variable: f.text == nil && f.number == nil}
			if tf.record(d.text[start:d.at]); tf.lastValue != nil {
				tf.buf = t.save(tf.lastValue)
			}
			t.fields = append(t.fields, tf)
		}
		valueEnd = d.at
		return ok
	})
	if ok && !irregular {
		t.suffix, t.dirty = t.save(d.text[valueEnd:d.at]), true
		d.template = t
	}
	return ok
}

// save copies text, which belongs to the frame, into the template.
func (t *template) save(text []byte) []byte {
	start := len(t.buf)
	t.buf = append(t.buf, text...)
	return t.buf[start:len(t.buf):len(t.buf)]
}

// record makes value the last value of the field.
func (tf *templateField) record(value []byte) {
	if tf.text != nil || tf.number != nil {
		tf.lastValue, tf.inFrame = value, true
	}
}

// buildRuns joins neighbouring fields that have never changed into runs.
func (t *template) buildRuns() {
	for i := 0; i < len(t.fields); i++ {
		var run constRun
		for _, tf := range t.fields[i:] {
			if tf.variable {
				break
			}
			run = constRun{append(append(run.text, tf.prefix...), tf.lastValue...), run.fields + 1}
		}
		t.fields[i].run = run
		i += max(0, run.fields-1)
	}
	t.dirty = false
}

// snapshot copies the last values out of the frame, whose memory the decoder does not own,
// and brings the runs up to date. The decoder calls it at the end of a frame.
func (t *template) snapshot() {
	if t.dirty {
		t.buildRuns()
	}
	for i := range t.fields {
		if tf := &t.fields[i]; tf.inFrame {
			tf.buf = append(tf.buf[:0], tf.lastValue...)
			tf.lastValue, tf.inFrame = tf.buf, false
		}
	}
}

// matchTemplate reads the next message into m if it has the layout of the template. It
// copies prev, compares the text between the values, and parses only the values that differ
// from the last ones. It reports false if the layout differs. It may have advanced the
// scanner and changed m by then.
func (d *frameDecoder) matchTemplate(m, prev *Message) bool {
	if len(d.template.fields) == 0 {
		return false
	}
	*m = *prev
	for fields := d.template.fields; len(fields) > 0; {
		tf := &fields[0]
		if n := tf.run.fields; n > 0 && !d.template.dirty && d.matchConst(tf.run.text) {
			fields = fields[n:]
			continue
		}
		if !d.matchField(tf, m, prev) {
			return false
		}
		fields = fields[1:]
	}
	return d.skipPrefix(d.template.suffix)
}

// matchConst skips text, which must end where a value ends. It does not move the scanner if
// the input differs.
func (d *frameDecoder) matchConst(text []byte) bool {
	start := d.at
	if d.skipPrefix(text) && d.atValueEnd() {
		return true
	}
	d.at = start
	return false
}

// matchField reads the value of one field of the template into m, with the prefix in front
// of it. A value that differs from the last one becomes variable.
func (d *frameDecoder) matchField(tf *templateField, m, prev *Message) bool {
	if !d.skipPrefix(tf.prefix) {
		return false
	}
	if len(tf.lastValue) > 0 && d.matchConst(tf.lastValue) {
		return true
	}
	start := d.at
	tf.clear(m)
	if !d.readFieldValue(tf.field, m, prev) {
		return false
	}
	if !tf.variable {
		tf.variable, d.template.dirty = true, true
	}
	tf.record(d.text[start:d.at])
	return true
}

// atValueEnd reports whether a value ends here. The bytes before do not show the end of a
// number: 12 is a prefix of 123.
func (d *frameDecoder) atValueEnd() bool {
	return d.at < len(d.text) && (d.text[d.at] == ',' || d.text[d.at] == '}' || d.text[d.at] <= ' ')
}
