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
	stale  bool   // a value in a run has varied
}

// place is where a value stands in a message.
type place struct {
	field

	before []byte // what stands between it and the value before
	last   []byte // the value in the last message, where it is a text or a number
	memory []byte // for the last value of a frame
	noted  bool   // the value is a part of the frame
	varies bool   // the value has been another one, or is always read
	run    run    // which begins here
}

// run is how several values that have never varied are written, and what stands in front
// of each.
type run struct {
	text   []byte
	places int // 0 for none
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
			p := place{field: f, before: l.own(s.text[last:start]), varies: f.text == nil && f.number == nil}
			if p.note(s.text[start:s.at]); p.last != nil {
				p.memory = l.own(p.last)
			}
			l.places = append(l.places, p)
		}
		last = s.at
		return ok
	})
	if ok && !odd {
		l.end, l.stale = l.own(s.text[last:s.at]), true
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

// join makes the runs.
func (l *layout) join() {
	for i := 0; i < len(l.places); i++ {
		var r run
		for _, p := range l.places[i:] {
			if p.varies {
				break
			}
			r = run{append(append(r.text, p.before...), p.last...), r.places + 1}
		}
		l.places[i].run = r
		i += max(0, r.places-1)
	}
	l.stale = false
}

// keep copies the values of the last message of a frame.
func (l *layout) keep() {
	if l.stale {
		l.join()
	}
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
	*m = *before
	for places := s.layout.places; len(places) > 0; {
		p := &places[0]
		if n := p.run.places; n > 0 && !s.layout.stale && s.again(p.run.text) {
			places = places[n:]
			continue
		}
		if !s.alikeAt(p, m, before) {
			return false
		}
		places = places[1:]
	}
	return s.skipText(s.layout.end)
}

// again skips what was written in the last message, too, up to the end of a value.
func (s *splitter) again(text []byte) bool {
	start := s.at
	if s.skipText(text) && s.afterValue() {
		return true
	}
	s.at = start
	return false
}

// alikeAt reads one value of a message and what stands in front of it.
func (s *splitter) alikeAt(p *place, m, before *Message) bool {
	if !s.skipText(p.before) {
		return false
	}
	if len(p.last) > 0 && s.again(p.last) {
		return true
	}
	start := s.at
	p.clear(m)
	if !s.value(p.field, m, before) {
		return false
	}
	if !p.varies {
		p.varies, s.layout.stale = true, true
	}
	p.note(s.text[start:s.at])
	return true
}

// afterValue tells whether a member's value has ended, which of a number is not to be told
// by itself.
func (s *splitter) afterValue() bool {
	return s.at < len(s.text) && (s.text[s.at] == ',' || s.text[s.at] == '}' || s.text[s.at] <= ' ')
}
