package wsxtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// encodeFrame encodes a frame as Zato does: indented by four spaces, with escaped
// slashes, in ASCII (transcripts invoke and publish-subscribe).
func encodeFrame(f serverFrame) ([]byte, error) {
	compact, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encoding a frame: %w", err)
	}
	return formatJSON(compact), nil
}

// formatJSON formats compact JSON as Zato does. Numbers are unchanged.
func formatJSON(src []byte) []byte {
	out := make([]byte, 0, len(src)+len(src)/2)
	depth := 0
	newline := func() {
		out = append(out, '\n')
		for range depth {
			out = append(out, "    "...)
		}
	}
	for i := 0; i < len(src); i++ {
		switch c := src[i]; c {
		case '"':
			end := stringEnd(src, i)
			out = appendString(out, src[i:end])
			i = end - 1
		case '{', '[':
			out = append(out, c)
			if src[i+1] == c+2 { // in ASCII, the closing bracket is two after the opening one
				i++
				out = append(out, c+2)
				continue
			}
			depth++
			newline()
		case '}', ']':
			depth--
			newline()
			out = append(out, c)
		case ',':
			out = append(out, c)
			newline()
		case ':':
			out = append(out, ": "...)
		default:
			out = append(out, c)
		}
	}
	return out
}

// stringEnd returns the index after the string that begins at start.
func stringEnd(src []byte, start int) int {
	for i := start + 1; i < len(src); i++ {
		switch src[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(src)
}

// appendString appends a JSON string, escaped as Zato does.
func appendString(out, quoted []byte) []byte {
	if isPlain(quoted) {
		return append(out, quoted...)
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return append(out, quoted...) // cannot happen in valid JSON
	}
	out = append(out, '"')
	for _, r := range text {
		out = appendRune(out, r)
	}
	return append(out, '"')
}

func isPlain(quoted []byte) bool {
	for _, c := range quoted {
		if c == '\\' || c == '/' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func appendRune(out []byte, r rune) []byte {
	const escaped = "\"\\/\b\f\n\r\t"
	const letters = "\"\\/bfnrt"
	if i := strings.IndexRune(escaped, r); i >= 0 {
		return append(out, '\\', letters[i])
	}
	switch {
	case r >= ' ' && r < utf8.RuneSelf:
		return append(out, byte(r))
	case r > 0xffff:
		high, low := utf16.EncodeRune(r)
		return appendHex(appendHex(out, high), low)
	}
	return appendHex(out, r)
}

func appendHex(out []byte, r rune) []byte {
	return fmt.Appendf(out, `\u%04x`, r)
}

// isFalsy reports whether a JSON value is false in Python. Zato omits such a value
// or replaces it by an empty string (transcripts invoke and single-service).
func isFalsy(raw json.RawMessage) bool {
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return true // no value
	}
	switch compact.String() {
	case "null", "false", `""`, "{}", "[]":
		return true
	}
	number, err := strconv.ParseFloat(compact.String(), 64)
	return err == nil && number == 0
}

// hasLoneSurrogate reports whether a JSON text contains half of a surrogate pair.
func hasLoneSurrogate(raw json.RawMessage) bool {
	const replacement = string(utf8.RuneError)
	decoded := strings.Count(stringOf(raw), replacement)
	written := strings.Count(string(raw), replacement) + strings.Count(strings.ToLower(string(raw)), `\ufffd`)
	return decoded > written
}
