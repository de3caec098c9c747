package wsxtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// encode is json.Marshal without its escapes for HTML.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// compact encodes v in the server's dialect of JSON: slashes escaped, nothing
// but ASCII. Raw JSON keeps its order of keys and its numbers.
func compact(v any) ([]byte, error) {
	raw, err := encode(v)
	if err != nil {
		return nil, err
	}
	var dense bytes.Buffer
	if err := json.Compact(&dense, raw); err != nil {
		return nil, err
	}
	return escape(dense.Bytes()), nil
}

// pretty is compact, indented as all of the server's text frames are.
func pretty(v any) ([]byte, error) {
	dense, err := compact(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = json.Indent(&b, dense, "", "    ")
	return b.Bytes(), err
}

// escape rewrites the texts of valid JSON. Outside of texts there is neither a
// slash nor anything but ASCII.
func escape(in []byte) []byte {
	out := make([]byte, 0, len(in)+len(in)/8)
	for i := 0; i < len(in); {
		c := in[i]
		switch {
		case c == '\\':
			out = append(out, in[i:i+2]...)
			i += 2
		case c == '/':
			out = append(out, `\/`...)
			i++
		case c < utf8.RuneSelf:
			out = append(out, c)
			i++
		default:
			r, size := utf8.DecodeRune(in[i:])
			for _, unit := range utf16.Encode([]rune{r}) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
			i += size
		}
	}
	return out
}

// isFalse tells whether Python takes a JSON value as false.
func isFalse(raw json.RawMessage) bool {
	switch s := strings.Join(strings.Fields(string(raw)), ""); s {
	case "", "null", "{}", "[]", `""`, "false":
		return true
	default:
		f, err := strconv.ParseFloat(s, 64)
		return err == nil && f == 0
	}
}

// isKind tells whether a JSON value begins with the given byte.
func isKind(raw json.RawMessage, first byte) bool {
	trimmed := bytes.TrimSpace(raw)
	return len(trimmed) > 0 && trimmed[0] == first
}

// text returns the JSON string in raw.
func text(raw json.RawMessage) (string, bool) {
	var s string
	if !isKind(raw, '"') || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// pythonText is what str() makes of a JSON value in Python, which is what a
// publisher's data becomes when it is no text (publish-subscribe).
func pythonText(raw json.RawMessage) string {
	if s, ok := text(raw); ok {
		return s
	}
	return pythonNotation(raw)
}

// pythonNotation is what repr() makes of a JSON value in Python.
func pythonNotation(raw json.RawMessage) string {
	switch {
	case isKind(raw, '{'):
		return pythonDict(raw)
	case isKind(raw, '['):
		var list []json.RawMessage
		_ = json.Unmarshal(raw, &list)
		parts := make([]string, len(list))
		for i, v := range list {
			parts[i] = pythonNotation(v)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	switch s := string(bytes.TrimSpace(raw)); s {
	case "true":
		return "True"
	case "false":
		return "False"
	case "null":
		return "None"
	default:
		if quoted, ok := text(raw); ok {
			return pythonQuote(quoted)
		}
		return s
	}
}

// pythonDict keeps the order of the keys, as Python does.
func pythonDict(raw json.RawMessage) string {
	dec := json.NewDecoder(bytes.NewReader(raw))
	_, _ = dec.Token()
	var parts []string
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			break
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			break
		}
		parts = append(parts, fmt.Sprintf("%s: %s", pythonQuote(fmt.Sprint(key)), pythonNotation(value)))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func pythonQuote(s string) string {
	quote := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = `"`
	}
	s = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s)
	if quote == "'" {
		s = strings.ReplaceAll(s, "'", `\'`)
	}
	return quote + s + quote
}

// attributes reads the text of key=value lines that a login may carry. Whole
// numbers become numbers (attrs).
func attributes(lines string) map[string]any {
	out := map[string]any{}
	for line := range strings.Lines(lines) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			continue
		}
		if n, err := strconv.Atoi(value); err == nil {
			out[key] = n
		} else {
			out[key] = value
		}
	}
	return out
}

// clientName renders a name that may be an object: "app: demo; v: 1" (attrs).
func clientName(raw json.RawMessage) string {
	if s, ok := text(raw); ok {
		return s
	}
	var obj map[string]any
	if json.Unmarshal(raw, &obj) != nil {
		return ""
	}
	parts := make([]string, 0, len(obj))
	for k, v := range obj {
		parts = append(parts, fmt.Sprintf("%s: %v", k, v))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}
