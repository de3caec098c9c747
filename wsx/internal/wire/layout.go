package wire

import (
	"bytes"
	"slices"
)

// layout is how a message is written. Nearly all are written as the one before them.
type layout struct {
	places []place
	end    []byte // what stands behind the last value
	memory []byte // that what is noted is a part of
}

// place is where a value stands in a message.
type place struct {
	field

	before []byte // what stands between it and the value before
	last   []byte // the value in the last message, where it is a text or a number
	memory []byte // for the last value of a frame
	noted  bool   // the value is a part of the frame
}

// Servers write fewer than usualPlaces values into a message, and mostly less than
// usualSize bytes, but for the data. One that has more than maxPlaces is not noted.
const usualPlaces, maxPlaces, usualSize = 20, 64, 1 << 10

// noted reads a message and notes how it is written.
func (s *splitter) noted(m, before *Message) bool {
	l := layout{places: slices.Grow(s.layout.places[:0], usualPlaces), memory: make([]byte, 0, usualSize)}
	s.layout = layout{}
	names := make([][]byte, 0, usualPlaces)
	last := s.at
	odd := false
	ok := s.object(func(name []byte) bool {
		f, ok := fieldOf(name)
		s.peek()
		start := s.at
		ok = ok && s.value(f, m, before)
		// With a name twice it could not be told whose value a message has.
		odd = odd || len(names) == maxPlaces ||
			slices.ContainsFunc(names, func(other []byte) bool { return bytes.Equal(other, name) })
		if !odd {
			names = append(names, name)
			p := place{field: f, before: l.own(s.text[last:start])}
			if p.note(s.text[start:s.at]); p.last != nil {
				p.memory = l.own(p.last)
			}
			l.places = append(l.places, p)
		}
		last = s.at
		return ok
	})
	if ok && !odd {
		l.end = l.own(s.text[last:s.at])
		s.layout = l
	}
	return ok
}

// own copies a part of the text, which is used again.
func (l *layout) own(part []byte) []byte {
	start := len(l.memory)
	l.memory = append(l.memory, part...)
	return l.memory[start:len(l.memory):len(l.memory)]
}

// note notes the value of a message.
func (p *place) note(value []byte) {
	if p.text != nil || p.number != nil {
		p.last, p.noted = value, true
	}
}

// keep copies the values of the last message of a frame.
func (l *layout) keep() {
	for i := range l.places {
		if p := &l.places[i]; p.noted {
			p.memory = append(p.memory[:0], p.last...)
			p.last, p.noted = p.memory, false
		}
	}
}

// alike reads a message that is written as the one before it: what stands between the
// values is only compared, and so is a text or a number that is the same. It returns
// false for another, of which it may have read a part.
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
		switch {
		case p.text != nil && p.last[0] == '"' && s.skipText(p.last):
			*p.text(m) = *p.text(before)
			continue
		case p.number != nil && s.skipText(p.last) && s.afterNumber():
			*p.number(m) = *p.number(before)
			continue
		}
		s.at = start
		if !s.value(p.field, m, before) {
			return false
		}
		p.note(s.text[start:s.at])
	}
	return s.skipText(s.layout.end)
}

// afterNumber tells whether what is behind a number is no more of it.
func (s *splitter) afterNumber() bool {
	return s.at < len(s.text) && (s.text[s.at] == ',' || s.text[s.at] == '}' || s.text[s.at] <= ' ')
}
