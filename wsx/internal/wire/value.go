package wire

import "unicode/utf8"

// maxDepth is how deep a scanner lets values nest.
const maxDepth = 1000

// readValue skips a value of any kind and returns its JSON text.
func (s *scanner) readValue() ([]byte, bool) {
	s.peek()
	start := s.at
	ok := s.skipValue()
	return s.text[start:s.at:s.at], ok
}

// skipValue skips a value of any kind. It keeps a stack of its own instead of calling
// itself.
func (s *scanner) skipValue() bool {
	var buf [32]byte
	closers := buf[:0] // the closing brackets of the objects and arrays that are open
	for {
		closer := byte(0)
		switch s.peek() {
		case '{':
			closer = '}'
		case '[':
			closer = ']'
		default:
			if !s.skipScalar() {
				return false
			}
		}
		if closer != 0 {
			s.at++
			if !s.accept(closer) {
				closers = append(closers, closer)
				if len(closers) == maxDepth || (closer == '}' && !s.skipKey()) {
					return false
				}
				continue
			}
		}
		var more bool
		if closers, more = s.skipClosers(closers); !more {
			return len(closers) == 0
		}
	}
}

// skipClosers skips the closing brackets that follow a value, and then a comma and the next
// key if one follows. It returns the brackets that are still open and reports whether
// another value follows.
func (s *scanner) skipClosers(closers []byte) (rest []byte, more bool) {
	for ; len(closers) > 0; closers = closers[:len(closers)-1] {
		closer := closers[len(closers)-1]
		switch s.peek() {
		case closer:
			s.at++
		case ',':
			s.at++
			return closers, closer != '}' || s.skipKey()
		default:
			return closers, false
		}
	}
	return closers, false
}

// skipKey skips a key and the colon after it.
func (s *scanner) skipKey() bool {
	return s.accept('"') && s.skipStringBody() && s.accept(':')
}

// skipScalar skips a string, a number, true, false or null.
func (s *scanner) skipScalar() bool {
	if s.at == len(s.text) {
		return false
	}
	switch s.text[s.at] {
	case '"':
		s.at++
		return s.skipStringBody()
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.skipNumber()
}

// skipStringBody skips the rest of a string, with its closing quote.
func (s *scanner) skipStringBody() bool {
	for {
		s.at += plainPrefix(s.text[s.at:])
		if s.skipByte('"') {
			return true
		}
		var buf [utf8.UTFMax]byte
		_, size := appendSpecial(buf[:0], s.text[s.at:])
		if size == 0 {
			return false
		}
		s.at += size
	}
}

// skipNumber skips a number.
func (s *scanner) skipNumber() bool {
	s.skipByte('-')
	if !s.skipByte('0') && !s.skipDigits() {
		return false
	}
	if s.skipByte('.') && !s.skipDigits() {
		return false
	}
	if s.skipByte('e') || s.skipByte('E') {
		_ = s.skipByte('+') || s.skipByte('-')
		return s.skipDigits()
	}
	return true
}

// skipByte skips c if it follows, and reports whether it did.
func (s *scanner) skipByte(c byte) bool {
	if s.at == len(s.text) || s.text[s.at] != c {
		return false
	}
	s.at++
	return true
}

// skipDigits skips digits. It reports whether there was at least one.
func (s *scanner) skipDigits() bool {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}
