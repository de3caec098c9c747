package wire

import "unicode/utf8"

// maxDepth is how deeply a value may be nested for a scanner.
const maxDepth = 1000

// any reads any value and returns its text.
func (s *scanner) any() ([]byte, bool) {
	s.peek()
	start := s.at
	ok := s.skipValue()
	return s.text[start:s.at:s.at], ok
}

// skipValue skips any value.
func (s *scanner) skipValue() bool {
	var room [32]byte
	open := room[:0] // the ends of the objects and lists around what comes next
	for {
		end := byte(0)
		switch s.peek() {
		case '{':
			end = '}'
		case '[':
			end = ']'
		default:
			if !s.skipScalar() {
				return false
			}
		}
		if end != 0 {
			s.at++
			if !s.accept(end) {
				open = append(open, end)
				if len(open) == maxDepth || (end == '}' && !s.skipName()) {
					return false
				}
				continue
			}
		}
		var more bool
		if open, more = s.skipEnds(open); !more {
			return len(open) == 0
		}
	}
}

// skipEnds skips what stands behind a value: the ends of what ends with it, and a comma
// and a name, where one more value comes.
func (s *scanner) skipEnds(open []byte) (left []byte, more bool) {
	for ; len(open) > 0; open = open[:len(open)-1] {
		end := open[len(open)-1]
		switch s.peek() {
		case end:
			s.at++
		case ',':
			s.at++
			return open, end != '}' || s.skipName()
		default:
			return open, false
		}
	}
	return open, false
}

// skipName skips the name of a member and the colon behind it.
func (s *scanner) skipName() bool {
	return s.accept('"') && s.skipBody() && s.accept(':')
}

// skipScalar skips a value that has no others in it.
func (s *scanner) skipScalar() bool {
	if s.at == len(s.text) {
		return false
	}
	switch s.text[s.at] {
	case '"':
		s.at++
		return s.skipBody()
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.number()
}

// skipBody skips the body of a string and the quote behind it.
func (s *scanner) skipBody() bool {
	for {
		s.at += plainPrefix(s.text[s.at:])
		if s.skip('"') {
			return true
		}
		var room [utf8.UTFMax]byte
		_, size := appendSpecial(room[:0], s.text[s.at:])
		if size == 0 {
			return false
		}
		s.at += size
	}
}

// number skips a number.
func (s *scanner) number() bool {
	s.skip('-')
	if !s.skip('0') && !s.digits() {
		return false
	}
	if s.skip('.') && !s.digits() {
		return false
	}
	if s.skip('e') || s.skip('E') {
		_ = s.skip('+') || s.skip('-')
		return s.digits()
	}
	return true
}

// skip skips a byte, where it stands there.
func (s *scanner) skip(c byte) bool {
	if s.at == len(s.text) || s.text[s.at] != c {
		return false
	}
	s.at++
	return true
}

// digits skips at least one digit.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}
