package wire

import (
	"bytes"
	"slices"
)

// layout is how a message is written. Nearly all are written as the one before them.
type layout struct {
	places []place
	end    []byte // what stands behind the last value
}

// place is where a value stands in a message.
type place struct {
	field

	name   []byte
	before []byte // what stands between it and the value before
	last   []byte // the value in the last message, where it is a text or a number
	memory []byte
}

// Servers write fewer than usualPlaces values into a message. One that has more than
// maxPlaces is not noted.
const usualPlaces, maxPlaces = 20, 64

// noted reads a message and notes how it is written.
func (s *splitter) noted(m, before *Message) bool {
	l := layout{places: make([]place, 0, usualPlaces)}
	last := s.at
	odd := false
	ok := s.object(func(name []byte) bool {
		f, ok := fieldOf(name)
		s.peek()
		start := s.at
		ok = ok && s.value(f, m, before)
		// With a name twice it could not be told whose value a message has.
		odd = odd || len(l.places) == maxPlaces ||
			slices.ContainsFunc(l.places, func(p place) bool { return bytes.Equal(p.name, name) })
		if !odd {
			l.places = append(l.places, place{field: f, name: name, before: s.text[last:start]})
			l.places[len(l.places)-1].note(s.text[start:s.at])
		}
		last = s.at
		return ok
	})
	l.end = s.text[last:s.at]
	if odd || !ok {
		l = layout{}
	}
	l.own()
	s.layout = l
	return ok
}

// own copies what is noted, for the text is used again.
func (l *layout) own() {
	parts := [][]byte{l.end}
	for _, p := range l.places {
		parts = append(parts, p.name, p.before)
	}
	rest := bytes.Join(parts, nil)
	cut := func(part *[]byte) { *part, rest = rest[:len(*part)], rest[len(*part):] }
	cut(&l.end)
	for i := range l.places {
		cut(&l.places[i].name)
		cut(&l.places[i].before)
	}
}

// note notes the value of a message.
func (p *place) note(value []byte) {
	if p.text != nil || p.number != nil {
		p.last = value
	}
}

// keep copies the values of the last message of a frame.
func (l *layout) keep() {
	for i := range l.places {
		p := &l.places[i]
		p.memory = append(p.memory[:0], p.last...)
		p.last = p.memory
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
