package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// A scanner moves over JSON text. It knows the JSON that servers send and nothing else. Its
// methods report false on invalid JSON, and on the few valid texts that it does not
// support: bytes that are not UTF-8, and nesting beyond maxDepth. The caller leaves those
// to encoding/json, which also says what is wrong.
//
// accept and literal skip white space first. skipByte and skipPrefix do not. A method that
// reports false may have moved the scanner, unless its comment says otherwise.
type scanner struct {
	text []byte
	at   int
}

// Valid reports whether text is one JSON value that a scanner supports.
func Valid(text []byte) bool {
	s := scanner{text: text}
	_, ok := s.readValue()
	return ok && s.atEnd()
}

// peek skips white space and returns the byte after it, or 0 at the end of the text.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c > ' ':
			return c
		case c == '\n':
			s.skipIndent()
		case c != ' ' && c != '\r' && c != '\t':
			return c
		}
	}
	return 0
}

// skipIndent skips the spaces after a line break, four at a time. Servers indent what they
// send.
func (s *scanner) skipIndent() {
	const fourSpaces = 0x20202020
	for rest := s.text[s.at+1:]; len(rest) >= 4 && binary.LittleEndian.Uint32(rest) == fourSpaces; rest = rest[4:] {
		s.at += 4
	}
}

// accept skips white space, and then c if it follows. It reports whether c followed.
func (s *scanner) accept(c byte) bool {
	if s.peek() != c || s.at == len(s.text) {
		return false
	}
	s.at++
	return true
}

// atEnd reports whether only white space is left.
func (s *scanner) atEnd() bool {
	s.peek()
	return s.at == len(s.text)
}

// readObject reads an object. After each key it calls value to read the value. The key is
// passed as it is written, with its escapes.
func (s *scanner) readObject(value func(key []byte) bool) bool {
	if !s.accept('{') {
		return false
	}
	if s.accept('}') {
		return true
	}
	for {
		key, ok := s.readQuoted()
		if !ok || !s.accept(':') || !value(key) {
			return false
		}
		if !s.accept(',') {
			return s.accept('}')
		}
	}
}

// openKey reads the beginning of an object up to the value of its first key. It reports
// false if the first key is another one.
func (s *scanner) openKey(key string) bool {
	if !s.accept('{') {
		return false
	}
	got, ok := s.readQuoted()
	return ok && string(got) == key && s.accept(':')
}

// readArray reads an array. It calls item to read each item.
func (s *scanner) readArray(item func() bool) bool {
	if !s.accept('[') {
		return false
	}
	if s.accept(']') {
		return true
	}
	for {
		if !item() {
			return false
		}
		if !s.accept(',') {
			return s.accept(']')
		}
	}
}

// skipPrefix skips text if it follows, and reports whether it did. Otherwise it does not
// move the scanner.
func (s *scanner) skipPrefix(text []byte) bool {
	if !bytes.HasPrefix(s.text[s.at:], text) {
		return false
	}
	s.at += len(text)
	return true
}

// literal skips white space, and then word if it follows. It reports whether word followed.
func (s *scanner) literal(word string) bool {
	s.peek()
	return s.skipPrefix([]byte(word))
}

// readQuoted reads a string and returns the text between the quotes, with its escapes.
func (s *scanner) readQuoted() ([]byte, bool) {
	if !s.accept('"') {
		return nil, false
	}
	start := s.at
	if !s.skipStringBody() {
		return nil, false
	}
	return s.text[start : s.at-1 : s.at-1], true
}

// plainPrefix returns the number of plain bytes at the beginning of text. A byte is plain
// if it stands for itself in a JSON string: ASCII, but no control character, quote or
// backslash. plainPrefix looks at eight bytes at a time.
func plainPrefix(text []byte) int {
	rest := text
	for len(rest) >= 8 {
		if stops := stopMask(rest); stops != 0 {
			return len(text) - len(rest) + bits.TrailingZeros64(stops)/8
		}
		rest = rest[8:]
		if len(text)-len(rest) == longString {
			rest = rest[plainPrefixLong(rest):]
		}
	}
	for len(rest) > 0 && ' ' <= rest[0] && rest[0] < utf8.RuneSelf && rest[0] != '"' && rest[0] != '\\' {
		rest = rest[1:]
	}
	return len(text) - len(rest)
}

const (
	longString = 32  // plain bytes, after which a string counts as long
	blockSize  = 512 // bytes that plainPrefixLong searches at once
)

// plainPrefixLong is plainPrefix for long texts. It may return less than plainPrefix does,
// but never more. In each block it first looks for a quote and a backslash with
// bytes.IndexByte, which uses vector instructions. Then it checks the bytes before them, 32
// at a time.
func plainPrefixLong(text []byte) int {
	for n := 0; ; n += blockSize {
		rest := text[n:min(len(text), n+blockSize)]
		if end := bytes.IndexByte(rest, '"'); end >= 0 {
			rest = rest[:end]
		}
		if end := bytes.IndexByte(rest, '\\'); end >= 0 {
			rest = rest[:end]
		}
		size := len(rest)
		for len(rest) >= 32 &&
			nonPlainMask(rest)|nonPlainMask(rest[8:])|nonPlainMask(rest[16:])|nonPlainMask(rest[24:]) == 0 {
			rest = rest[32:]
		}
		if size < blockSize || len(rest) > 0 {
			return n + size - len(rest)
		}
	}
}

// The lowest and the highest bit of each of eight bytes.
const lsb, msb = 0x0101010101010101, 0x8080808080808080

// nonPlainMask returns a value other than 0 if any of the first eight bytes of text is not
// ASCII or is a control character.
func nonPlainMask(text []byte) uint64 {
	eight := binary.LittleEndian.Uint64(text)
	return (eight | (eight - lsb*' ')) & msb
}

// stopMask marks the first of eight bytes that is not plain: the lowest bit set in the
// result is the highest bit of that byte. Borrowing in the subtraction may also mark plain
// bytes after it, so only the first mark counts.
func stopMask(text []byte) uint64 {
	eight := binary.LittleEndian.Uint64(text)
	quote, backslash := eight^lsb*'"', eight^lsb*'\\'
	return nonPlainMask(text) | ((quote-lsb)|(backslash-lsb))&msb
}

// escapedByte returns the byte that a letter after a backslash stands for, or 0 if the two
// are no such escape.
func escapedByte(letter byte) byte {
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

// unicodeEscapeSize is the length of an escaped UTF-16 code unit, such as \u00e9.
const unicodeEscapeSize = 6

// parseUnicodeEscape returns the UTF-16 code unit that text begins with in escaped form, or
// -1 if text does not begin with one.
func parseUnicodeEscape(text []byte) rune {
	if len(text) < unicodeEscapeSize || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	var unit [2]byte
	if _, err := hex.Decode(unit[:], text[2:unicodeEscapeSize]); err != nil {
		return -1
	}
	return rune(binary.BigEndian.Uint16(unit[:]))
}

// appendUnescaped appends the decoded rest of the string that the scanner is in, and moves
// the scanner past the closing quote. Like encoding/json, it turns half a surrogate pair
// into U+FFFD.
func (s *scanner) appendUnescaped(out []byte) ([]byte, bool) {
	for {
		out = s.appendPlain(out)
		rest := s.text[s.at:]
		if len(rest) > 1 && rest[0] == '\\' {
			if c := escapedByte(rest[1]); c != 0 {
				out = append(out, c)
				s.at += 2
				continue
			}
		}
		if s.skipByte('"') {
			return out, true
		}
		var size int
		if out, size = appendSpecial(out, rest); size == 0 {
			return out, false
		}
		s.at += size
	}
}

// appendPlain appends the plain bytes that follow. It copies eight bytes and then keeps the
// plain ones, which is faster than counting them first.
func (s *scanner) appendPlain(out []byte) []byte {
	for rest := s.text[s.at:]; len(rest) >= 8; rest = rest[8:] {
		out = slices.Grow(out, 8)
		binary.LittleEndian.PutUint64(out[len(out):len(out)+8], binary.LittleEndian.Uint64(rest))
		if stops := stopMask(rest); stops != 0 {
			n := bits.TrailingZeros64(stops) / 8
			s.at += n
			return out[:len(out)+n]
		}
		out = out[:len(out)+8]
		s.at += 8
	}
	n := plainPrefix(s.text[s.at:])
	s.at += n
	return append(out, s.text[s.at-n:s.at]...)
}

// appendSpecial appends what text begins with, decoded: an escape, or a rune that is not
// ASCII. It returns the number of bytes that it took, or 0 if text begins with neither.
func appendSpecial(out, text []byte) (_ []byte, size int) {
	switch {
	case len(text) == 0:
	case text[0] == '\\':
		return appendDecodedEscape(out, text)
	case text[0] >= utf8.RuneSelf:
		if r, size := utf8.DecodeRune(text); r != utf8.RuneError || size > 1 {
			return append(out, text[:size]...), size
		}
	}
	return out, 0
}

// appendDecodedEscape appends what the escape at the beginning of text stands for. It
// returns the length of the escape, or 0 if it is not valid.
func appendDecodedEscape(out, text []byte) (_ []byte, size int) {
	if len(text) < 2 {
		return out, 0
	}
	if text[1] != 'u' {
		c := escapedByte(text[1])
		if c == 0 {
			return out, 0
		}
		return append(out, c), 2
	}
	unit := parseUnicodeEscape(text)
	if unit < 0 {
		return out, 0
	}
	size = unicodeEscapeSize
	if utf16.IsSurrogate(unit) {
		unit = utf16.DecodeRune(unit, parseUnicodeEscape(text[unicodeEscapeSize:]))
		if unit != utf8.RuneError {
			size = 2 * unicodeEscapeSize
		}
	}
	return utf8.AppendRune(out, unit), size
}
