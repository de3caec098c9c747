package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deeply a value may be nested for a scanner.
const maxDepth = 1000

// scanner walks over JSON. It knows the JSON that servers send and no other: its
// methods return false at whatever is not valid, and at a few things that are (bytes
// that are not UTF-8, nesting beyond maxDepth). Those are for encoding/json, which
// also says what is wrong.
type scanner struct {
	text []byte
	at   int
}

// Valid tells whether a text is JSON that a scanner knows.
func Valid(text []byte) bool {
	s := scanner{text: text}
	_, ok := s.value(0)
	return ok && s.end()
}

// peek skips white space and returns the byte behind it, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case '\n':
			s.indentation()
		case ' ', '\r', '\t':
		default:
			return c
		}
	}
	return 0
}

// indentation skips spaces behind a line break, of which servers write many.
func (s *scanner) indentation() {
	const four = 0x20202020
	for rest := s.text[s.at+1:]; len(rest) >= 4 && binary.LittleEndian.Uint32(rest) == four; rest = rest[4:] {
		s.at += 4
	}
}

// take skips white space and then c, where it stands there.
func (s *scanner) take(c byte) bool {
	if s.peek() != c || s.at == len(s.text) {
		return false
	}
	s.at++
	return true
}

// end tells whether nothing but white space is left.
func (s *scanner) end() bool {
	s.peek()
	return s.at == len(s.text)
}

// object reads an object. It calls value behind each name, which is given as it is
// written, to read the value.
func (s *scanner) object(value func(name []byte) bool) bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	for {
		name, _, ok := s.quoted()
		if !ok || !s.take(':') || !value(name) {
			return false
		}
		if !s.take(',') {
			return s.take('}')
		}
	}
}

// list reads a list. It calls item to read each of its items.
func (s *scanner) list(item func() bool) bool {
	if !s.take('[') {
		return false
	}
	if s.take(']') {
		return true
	}
	for {
		if !item() {
			return false
		}
		if !s.take(',') {
			return s.take(']')
		}
	}
}

// value reads any value and returns its text.
func (s *scanner) value(depth int) ([]byte, bool) {
	c := s.peek()
	start := s.at
	ok := false
	switch {
	case depth == maxDepth:
	case c == '"':
		_, _, ok = s.quoted()
	case c == '{':
		ok = s.object(func([]byte) bool { _, ok := s.value(depth + 1); return ok })
	case c == '[':
		ok = s.list(func() bool { _, ok := s.value(depth + 1); return ok })
	case c == 't':
		ok = s.word("true")
	case c == 'f':
		ok = s.word("false")
	case c == 'n':
		ok = s.word("null")
	default:
		ok = s.number()
	}
	return s.text[start:s.at:s.at], ok
}

// word skips white space and then a word, where it stands there.
func (s *scanner) word(w string) bool {
	s.peek()
	if !bytes.HasPrefix(s.text[s.at:], []byte(w)) {
		return false
	}
	s.at += len(w)
	return true
}

// number skips a number.
func (s *scanner) number() bool {
	s.skip("-")
	if !s.skip("0") && !s.digits() {
		return false
	}
	if s.skip(".") && !s.digits() {
		return false
	}
	if s.skip("eE") {
		s.skip("+-")
		return s.digits()
	}
	return true
}

// skip skips one byte, where it is one of a set.
func (s *scanner) skip(set string) bool {
	for i := range len(set) {
		if s.at < len(s.text) && s.text[s.at] == set[i] {
			s.at++
			return true
		}
	}
	return false
}

// digits skips at least one digit.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

// quoted reads a string. It returns what stands between the quotes, and whether
// there are escapes in it.
func (s *scanner) quoted() (body []byte, escaped, ok bool) {
	if !s.take('"') {
		return nil, false, false
	}
	start := s.at
	for {
		s.at += plain(s.text[s.at:])
		rest := s.text[s.at:]
		size := 0
		switch {
		case len(rest) == 0:
		case rest[0] == '"':
			s.at++
			return s.text[start : s.at-1 : s.at-1], escaped, true
		case rest[0] == '\\':
			escaped = true
			size = escapeSize(rest)
		case rest[0] >= utf8.RuneSelf:
			if _, size = utf8.DecodeRune(rest); size == 1 {
				size = 0 // not UTF-8
			}
		}
		if size == 0 {
			return nil, false, false
		}
		s.at += size
	}
}

// plain returns how many bytes at the beginning of a string's body are ASCII and
// stand for themselves. It looks at eight at a time: the highest bit of a byte of
// stop is set where that byte is not plain. Borrowing may set it in bytes behind
// such a one too, so that only the first counts.
func plain(text []byte) int {
	const each, highest = 0x0101010101010101, 0x8080808080808080
	rest := text
	for ; len(rest) >= 8; rest = rest[8:] {
		eight := binary.LittleEndian.Uint64(rest)
		quote, slash := eight^each*'"', eight^each*'\\'
		stop := (eight | (eight - each*' ') | (quote - each) | (slash - each)) & highest
		if stop != 0 {
			return len(text) - len(rest) + bits.TrailingZeros64(stop)/8
		}
	}
	for len(rest) > 0 && ' ' <= rest[0] && rest[0] < utf8.RuneSelf && rest[0] != '"' && rest[0] != '\\' {
		rest = rest[1:]
	}
	return len(text) - len(rest)
}

// escapeSize returns how many bytes an escape has, 0 where it is none.
func escapeSize(text []byte) int {
	switch {
	case len(text) < 2:
	case text[1] != 'u':
		if unescaped(text[1]) != 0 {
			return 2
		}
	case codeUnit(text) >= 0:
		return unitSize
	}
	return 0
}

// unescaped returns what a letter behind a backslash stands for, 0 for no escape.
func unescaped(letter byte) byte {
	switch letter {
	case '"', '\\', '/':
		return letter
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return 0
}

// unitSize is the size of an escaped UTF-16 code unit, as in \u00e9.
const unitSize = 6

// codeUnit returns the code unit with whose escape a text begins, -1 where it begins
// with none.
func codeUnit(text []byte) rune {
	if len(text) < unitSize || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	var unit [2]byte
	if _, err := hex.Decode(unit[:], text[2:unitSize]); err != nil {
		return -1
	}
	return rune(binary.BigEndian.Uint16(unit[:]))
}

// appendUnescaped appends the text of a string's body, which is no longer than the
// body. As in encoding/json, half a surrogate pair becomes U+FFFD.
func appendUnescaped(out, body []byte) []byte {
	for {
		n := bytes.IndexByte(body, '\\')
		if n < 0 {
			return append(out, body...)
		}
		out = append(out, body[:n]...)
		body = body[n:]
		if body[1] != 'u' {
			out = append(out, unescaped(body[1]))
			body = body[2:]
			continue
		}
		unit := codeUnit(body)
		body = body[unitSize:]
		if utf16.IsSurrogate(unit) {
			unit = utf16.DecodeRune(unit, codeUnit(body))
			if unit != utf8.RuneError {
				body = body[unitSize:]
			}
		}
		out = utf8.AppendRune(out, unit)
	}
}
