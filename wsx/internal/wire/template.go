package wire

import (
	"bytes"
	"slices"
)

// template is how a message is written. Nearly all are written as the one before them.
type template struct {
	fields []templateField
	end    []byte // what stands behind the last value
	memory []byte // that what is noted is a part of
	dirty  bool   // a value in a run has varied
}

// templateField is where a value stands in a message.
type templateField struct {
	field

	before   []byte   // what stands between it and the value before
	last     []byte   // the value in the last message, where it is a text or a number
	memory   []byte   // for the last value of a frame
	noted    bool     // the value is a part of the frame
	variable bool     // the value has been another one, or is always read
	run      constRun // which begins here
}

// constRun is how several values that have never varied are written, and what stands in front
// of each.
type constRun struct {
	text   []byte
	fields int // 0 for none
}

// Servers write fewer than usualPlaces values into a message, and mostly less than
// usualSize bytes, but for the data. One that has more than maxPlaces is not noted.
const usualTemplateFields, maxTemplateFields, usualSize = 20, 64, 1 << 10

// learn reads a message and notes how it is written.
func (s *frameDecoder) learn(m, before *Message) bool {
	l := template{fields: slices.Grow(s.template.fields[:0], usualTemplateFields), memory: make([]byte, 0, usualSize)}
	s.template = template{}
	names := make([][]byte, 0, usualTemplateFields)
	last := s.at
	odd := false
	ok := s.object(func(name []byte) bool {
		f, ok := fieldOf(name)
		s.peek()
		start := s.at
		ok = ok && s.value(f, m, before)
		// With a name twice it could not be told whose value a message has.
		odd = odd || len(names) == maxTemplateFields ||
			slices.ContainsFunc(names, func(other []byte) bool { return bytes.Equal(other, name) })
		if !odd {
			names = append(names, name)
			p := templateField{field: f, before: l.own(s.text[last:start]), variable: f.text == nil && f.number == nil}
			if p.record(s.text[start:s.at]); p.last != nil {
				p.memory = l.own(p.last)
			}
			l.fields = append(l.fields, p)
		}
		last = s.at
		return ok
	})
	if ok && !odd {
		l.end, l.dirty = l.own(s.text[last:s.at]), true
		s.template = l
	}
	return ok
}

// own copies a part of the text, which is used again.
func (l *template) own(part []byte) []byte {
	start := len(l.memory)
	l.memory = append(l.memory, part...)
	return l.memory[start:len(l.memory):len(l.memory)]
}

// record notes the value of a message.
func (p *templateField) record(value []byte) {
	if p.text != nil || p.number != nil {
		p.last, p.noted = value, true
	}
}

// buildRuns makes the runs.
func (l *template) buildRuns() {
	for i := 0; i < len(l.fields); i++ {
		var r constRun
		for _, p := range l.fields[i:] {
			if p.variable {
				break
			}
			r = constRun{append(append(r.text, p.before...), p.last...), r.fields + 1}
		}
		l.fields[i].run = r
		i += max(0, r.fields-1)
	}
	l.dirty = false
}

// snapshot copies the values of the last message of a frame.
func (l *template) snapshot() {
	if l.dirty {
		l.buildRuns()
	}
	for i := range l.fields {
		if p := &l.fields[i]; p.noted {
			p.memory = append(p.memory[:0], p.last...)
			p.last, p.noted = p.memory, false
		}
	}
}

// matchTemplate reads a message that is written as the one before it: what stands between the
// values is only compared, and so is a text or a number that is the same. It returns
// false for another, of which it may have read a part.
func (s *frameDecoder) matchTemplate(m, before *Message) bool {
	if len(s.template.fields) == 0 {
		return false
	}
	*m = *before
	for places := s.template.fields; len(places) > 0; {
		p := &places[0]
		if n := p.run.fields; n > 0 && !s.template.dirty && s.matchConst(p.run.text) {
			places = places[n:]
			continue
		}
		if !s.matchField(p, m, before) {
			return false
		}
		places = places[1:]
	}
	return s.skipPrefix(s.template.end)
}

// matchConst skips what was written in the last message, too, up to the end of a value.
func (s *frameDecoder) matchConst(text []byte) bool {
	start := s.at
	if s.skipPrefix(text) && s.afterValue() {
		return true
	}
	s.at = start
	return false
}

// matchField reads one value of a message and what stands in front of it.
func (s *frameDecoder) matchField(p *templateField, m, before *Message) bool {
	if !s.skipPrefix(p.before) {
		return false
	}
	if len(p.last) > 0 && s.matchConst(p.last) {
		return true
	}
	start := s.at
	p.clear(m)
	if !s.value(p.field, m, before) {
		return false
	}
	if !p.variable {
		p.variable, s.template.dirty = true, true
	}
	p.record(s.text[start:s.at])
	return true
}

// afterValue tells whether a member's value has ended, which of a number is not to be told
// by itself.
func (s *frameDecoder) afterValue() bool {
	return s.at < len(s.text) && (s.text[s.at] == ',' || s.text[s.at] == '}' || s.text[s.at] <= ' ')
}
