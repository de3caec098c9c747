package wsxtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// pythonStr returns Python's str() of a JSON value. Zato converts data that is not
// a string in this way (transcript publish-subscribe: {'k': ['v', 1]}).
func pythonStr(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var out strings.Builder
	if err := writePythonValue(&out, dec); err != nil {
		return string(raw)
	}
	return out.String()
}

func writePythonValue(out *strings.Builder, dec *json.Decoder) error {
	token, err := dec.Token()
	if err != nil {
		return fmt.Errorf("reading JSON: %w", err)
	}
	switch v := token.(type) {
	case json.Delim:
		return writePythonContainer(out, dec, v)
	case string:
		writePythonString(out, v)
	case json.Number:
		out.WriteString(pythonNumber(v.String()))
	case bool:
		if v {
			out.WriteString("True")
		} else {
			out.WriteString("False")
		}
	default:
		out.WriteString("None")
	}
	return nil
}

// pythonNumber returns Python's str() of a JSON number. One with a fraction or an
// exponent is a float.
func pythonNumber(number string) string {
	if !strings.ContainsAny(number, ".eE") {
		return number
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return number
	}
	if magnitude := math.Abs(value); magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16) {
		return strconv.FormatFloat(value, 'e', -1, 64)
	}
	text := strconv.FormatFloat(value, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// writePythonContainer writes a list or a dictionary in the order of the input.
func writePythonContainer(out *strings.Builder, dec *json.Decoder, open json.Delim) error {
	out.WriteRune(rune(open))
	for n := 0; dec.More(); n++ {
		if n > 0 {
			out.WriteString(", ")
		}
		if open == '{' {
			if err := writePythonValue(out, dec); err != nil {
				return err
			}
			out.WriteString(": ")
		}
		if err := writePythonValue(out, dec); err != nil {
			return err
		}
	}
	out.WriteRune(rune(open) + 2) // in ASCII, the closing bracket is two after the opening one
	_, err := dec.Token()
	return err
}

func writePythonString(out *strings.Builder, s string) {
	quote := '\''
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		quote = '"'
	}
	out.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			out.WriteRune('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r < 0x100 && !unicode.IsPrint(r):
			fmt.Fprintf(out, `\x%02x`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteRune(quote)
}
