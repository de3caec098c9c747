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
	_, ok := s.any()
	return ok && s.end()
}

// peek skips white space and returns the byte behind it, 0 at the end.
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

// skipIndent skips spaces behind a line break, of which servers write many.
func (s *scanner) skipIndent() {
	const four = 0x20202020
	for rest := s.text[s.at+1:]; len(rest) >= 4 && binary.LittleEndian.Uint32(rest) == four; rest = rest[4:] {
		s.at += 4
	}
}

// accept skips white space and then c, where it stands there.
func (s *scanner) accept(c byte) bool {
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
	if !s.accept('{') {
		return false
	}
	if s.accept('}') {
		return true
	}
	for {
		name, ok := s.quoted()
		if !ok || !s.accept(':') || !value(name) {
			return false
		}
		if !s.accept(',') {
			return s.accept('}')
		}
	}
}

// openKey reads the beginning of an object up to the value of its first key, which it is
// to have.
func (s *scanner) openKey(key string) bool {
	if !s.accept('{') {
		return false
	}
	name, ok := s.quoted()
	return ok && string(name) == key && s.accept(':')
}

// items reads a list. It calls item to read each of its items.
func (s *scanner) items(item func() bool) bool {
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

// skipPrefix skips a text, where it stands there.
func (s *scanner) skipPrefix(text []byte) bool {
	if !bytes.HasPrefix(s.text[s.at:], text) {
		return false
	}
	s.at += len(text)
	return true
}

// literal skips white space and then a word, where it stands there.
func (s *scanner) literal(w string) bool {
	s.peek()
	return s.skipPrefix([]byte(w))
}

// quoted reads a string and returns what stands between the quotes.
func (s *scanner) quoted() ([]byte, bool) {
	if !s.accept('"') {
		return nil, false
	}
	start := s.at
	if !s.skipBody() {
		return nil, false
	}
	return s.text[start : s.at-1 : s.at-1], true
}

// plainPrefix returns how many bytes at the beginning of a string's body are ASCII and
// stand for themselves. It looks at eight at a time.
func plainPrefix(text []byte) int {
	rest := text
	for len(rest) >= 8 {
		if stop := stopMask(rest); stop != 0 {
			return len(text) - len(rest) + bits.TrailingZeros64(stop)/8
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
	longString = 32  // bytes, after which a string is taken to be a long one
	block      = 512 // bytes, that are looked through at once then
)

// plainPrefixLong returns how many bytes are plain in any case. What ends the string is looked
// for in a block before all else, for which there are quick instructions.
func plainPrefixLong(text []byte) int {
	for n := 0; ; n += block {
		rest := text[n:min(len(text), n+block)]
		if end := bytes.IndexByte(rest, '"'); end >= 0 {
			rest = rest[:end]
		}
		if end := bytes.IndexByte(rest, '\\'); end >= 0 {
			rest = rest[:end]
		}
		size := len(rest)
		for len(rest) >= 32 && nonPlainMask(rest)|nonPlainMask(rest[8:])|nonPlainMask(rest[16:])|nonPlainMask(rest[24:]) == 0 {
			rest = rest[32:]
		}
		if size < block || len(rest) > 0 {
			return n + size - len(rest)
		}
	}
}

// Each of eight bytes, and the highest bit of each.
const lsb, msb = 0x0101010101010101, 0x8080808080808080

// nonPlainMask looks at eight bytes for some that are not ASCII, or control characters.
func nonPlainMask(text []byte) uint64 {
	eight := binary.LittleEndian.Uint64(text)
	return (eight | (eight - lsb*' ')) & msb
}

// stopMask looks at eight bytes: the highest bit of each is set in the result where that
// byte is not plain. Borrowing may set it in bytes behind such a one too, so that only
// the first counts.
func stopMask(text []byte) uint64 {
	eight := binary.LittleEndian.Uint64(text)
	quote, slash := eight^lsb*'"', eight^lsb*'\\'
	return nonPlainMask(text) | ((quote-lsb)|(slash-lsb))&msb
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

// appendUnescaped appends the text of a string's body, behind whose beginning the
// scanner stands, up to its end, which it skips. As in encoding/json, half a surrogate
// pair becomes U+FFFD.
func (s *scanner) appendUnescaped(out []byte) ([]byte, bool) {
	for {
		out = s.appendPlain(out)
		rest := s.text[s.at:]
		if len(rest) > 1 && rest[0] == '\\' {
			if c := unescaped(rest[1]); c != 0 {
				out = append(out, c)
				s.at += 2
				continue
			}
		}
		if s.skip('"') {
			return out, true
		}
		var size int
		if out, size = appendSpecial(out, rest); size == 0 {
			return out, false
		}
		s.at += size
	}
}

// appendPlain appends what stands for itself. It copies eight bytes and then looks how
// many of them were meant, which is faster than to copy so many.
func (s *scanner) appendPlain(out []byte) []byte {
	for rest := s.text[s.at:]; len(rest) >= 8; rest = rest[8:] {
		out = slices.Grow(out, 8)
		binary.LittleEndian.PutUint64(out[len(out):len(out)+8], binary.LittleEndian.Uint64(rest))
		if stop := stopMask(rest); stop != 0 {
			n := bits.TrailingZeros64(stop) / 8
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

// appendSpecial appends what a string's body begins with that is not plain: what an
// escape stands for, or a rune. It returns its size, 0 where it is neither.
func appendSpecial(out, text []byte) (_ []byte, size int) {
	switch {
	case len(text) == 0:
	case text[0] == '\\':
		return appendEscape(out, text)
	case text[0] >= utf8.RuneSelf:
		if r, size := utf8.DecodeRune(text); r != utf8.RuneError || size > 1 {
			return append(out, text[:size]...), size
		}
	}
	return out, 0
}

// appendEscape appends what the escape stands for with which a text begins. It returns
// the size of the escape, 0 where it is none.
func appendEscape(out, text []byte) (_ []byte, size int) {
	if len(text) < 2 {
		return out, 0
	}
	if text[1] != 'u' {
		c := unescaped(text[1])
		if c == 0 {
			return out, 0
		}
		return append(out, c), 2
	}
	unit := codeUnit(text)
	if unit < 0 {
		return out, 0
	}
	size = unitSize
	if utf16.IsSurrogate(unit) {
		unit = utf16.DecodeRune(unit, codeUnit(text[unitSize:]))
		if unit != utf8.RuneError {
			size = 2 * unitSize
		}
	}
	return utf8.AppendRune(out, unit), size
}
