package wire

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// AppendText appends a string field to the open JSON object in out. It appends nothing if
// value is empty. It replaces bytes that are not UTF-8, as encoding/json does.
func AppendText(out []byte, name, value string) []byte {
	if value == "" {
		return out
	}
	return appendString(appendName(out, name), value)
}

// AppendNumber appends a number field to the open JSON object in out. It appends nothing if
// value is 0.
func AppendNumber(out []byte, name string, value int64) []byte {
	if value == 0 {
		return out
	}
	return strconv.AppendInt(appendName(out, name), value, 10)
}

// AppendBool appends a boolean field to the open JSON object in out. It appends nothing if
// value is nil.
func AppendBool(out []byte, name string, value *bool) []byte {
	if value == nil {
		return out
	}
	return strconv.AppendBool(appendName(out, name), *value)
}

// appendName appends a field's name, with the comma before it and the colon after it.
func appendName(out []byte, name string) []byte {
	if out[len(out)-1] != '{' {
		out = append(out, ',')
	}
	out = append(out, '"')
	out = append(out, name...)
	return append(out, `":`...)
}

// appendString appends text as a JSON string.
func appendString(out []byte, text string) []byte {
	start := len(out)
	out = append(out, '"')
	out = append(out, text...)
	from := plainPrefix(out[start+1:])
	if from == len(text) {
		return append(out, '"')
	}
	if !utf8.ValidString(text) {
		quoted, _ := json.Marshal(text) // a string never fails
		return append(out[:start], quoted...)
	}
	out = out[:start+1+from]
	for i := from; i < len(text); i++ {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' {
			out = appendEscape(append(out, text[from:i]...), c)
			from = i + 1
		}
	}
	return append(append(out, text[from:]...), '"')
}

// appendEscape appends the escape of a byte that a JSON string cannot contain as it is.
func appendEscape(out []byte, c byte) []byte {
	switch c {
	case '"', '\\':
	case '\n':
		c = 'n'
	case '\r':
		c = 'r'
	case '\t':
		c = 't'
	default:
		return hex.AppendEncode(append(out, `\u00`...), []byte{c})
	}
	return append(out, '\\', c)
}
