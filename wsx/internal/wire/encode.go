package wire

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// AppendText appends a member to an object that has begun, unless its value is empty. What
// is not UTF-8 is replaced as encoding/json does.
func AppendText(out []byte, name, value string) []byte {
	if value == "" {
		return out
	}
	return appendString(appendName(out, name), value)
}

// AppendNumber appends a member to an object that has begun, unless its value is 0.
func AppendNumber(out []byte, name string, value int64) []byte {
	if value == 0 {
		return out
	}
	return strconv.AppendInt(appendName(out, name), value, 10)
}

// AppendBool appends a member to an object that has begun, unless its value is nil.
func AppendBool(out []byte, name string, value *bool) []byte {
	if value == nil {
		return out
	}
	return strconv.AppendBool(appendName(out, name), *value)
}

// appendName appends what stands in front of a member's value.
func appendName(out []byte, name string) []byte {
	if out[len(out)-1] != '{' {
		out = append(out, ',')
	}
	out = append(out, '"')
	out = append(out, name...)
	return append(out, `":`...)
}

// appendString appends a text as JSON.
func appendString(out []byte, text string) []byte {
	start := len(out)
	out = append(out, '"')
	out = append(out, text...)
	from := plainPrefix(out[start+1:])
	if from == len(text) {
		return append(out, '"')
	}
	if !utf8.ValidString(text) {
		quoted, _ := json.Marshal(text) // which never fails for a text
		return append(out[:start], quoted...)
	}
	out = out[:start+1+from]
	for i := from; i < len(text); i++ {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' {
			out = appendEscaped(append(out, text[from:i]...), c)
			from = i + 1
		}
	}
	return append(append(out, text[from:]...), '"')
}

// appendEscaped appends what stands for a byte that cannot stand for itself.
func appendEscaped(out []byte, c byte) []byte {
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
