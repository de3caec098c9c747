//go:build unix

package zato_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// longText is longer than a text in the metadata of a message may be. So are its beginnings from 201 characters.
var longText = strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz-ü_😀", 500)

// item is a message of a list for connect.publish, as JSON.
type item struct {
	text string
	// refusal is why the server refuses it, or empty.
	refusal string
}

// field is a field of an item, as JSON.
type field struct{ name, value string }

// badValues returns values of a field that connect.publish refuses.
func badValues(name string, random *rand.Rand) []string {
	switch name {
	case "priority":
		return []string{`0`, `10`, `-1`, `5.5`, `"5"`, `true`, `false`, `1e400`, `[5]`, `{}`, `""`}
	case "expiration":
		return []string{`-1`, `1.5`, `"60"`, `9007199254740992`, `1e30`, `-1e400`, `true`, `[]`, `""`}
	case "has_gd":
		return []string{`"true"`, `1`, `0`, `[]`, `""`}
	case "ext_pub_time":
		return []string{`"yesterday"`, `12`, `"2026-13-01"`, `"2026-02-30T00:00:00"`, `"\u0000"`, `"\ud800"`, `true`, `[]`}
	default:
		return []string{
			`7`, `true`, `[]`, `["a"]`, `{"a": 1}`, `"a\u0000b"`, `"\ud800"`, `"a\udc00b"`, `"\udc00\ud800"`,
			quote(beginning(longText, 201+random.IntN(20_000))),
		}
	}
}

// badData returns contents that connect.publish refuses, with the reason.
func badData() []field {
	var out []field
	for _, value := range []string{`""`, `null`, `0`, `false`, `[]`, `{}`} {
		out = append(out, field{"no data", value})
	}
	for _, value := range []string{`1`, `1.5`, `true`, `["text"]`, `{"a": "b"}`} {
		out = append(out, field{"data is not a text", value})
	}
	for _, value := range []string{`"a\u0000"`, `"\u0000"`, `"\ud800"`, `"a\udfff\ud83d"`, `"\ude00\ud83d"`} {
		out = append(out, field{"data has a character that cannot be stored", value})
	}
	return out
}

// goodFields returns fields at the limits of what connect.publish takes. Each id is used once.
func goodFields(id string) []field {
	return []field{
		{"priority", `1`},
		{"priority", `9`},
		{"priority", `null`},
		{"expiration", `9007199254740991`},
		{"expiration", `3600`},
		{"expiration", `0`},
		{"expiration", `null`},
		{"msg_id", quote(beginning(id+longText, 200))},
		{"msg_id", quote(id)},
		{"msg_id", `""`},
		{"msg_id", `null`},
		{"correl_id", quote(beginning(longText, 200))},
		{"correl_id", `"\ud83d\ude00"`},
		{"in_reply_to", `""`},
		{"ext_client_id", quote(beginning(longText, 200))},
		{"mime_type", quote(beginning(longText, 200))},
		{"ext_pub_time", `"9999-12-31T23:59:59"`},
		{"ext_pub_time", `"0001-01-01"`},
		{"ext_pub_time", `""`},
		{"has_gd", `true`},
		{"has_gd", `null`},
		{"unknown", `{"a": [null, "\u0000", "\ud800", 1e400]}`},
	}
}

// itemFields are the fields of an item besides its content.
var itemFields = []string{
	"msg_id", "correl_id", "in_reply_to", "ext_client_id", "mime_type", "ext_pub_time", "priority", "expiration", "has_gd",
}

// badItem returns an item that connect.publish refuses. Its content, if that is not what is refused, is a text.
func badItem(random *rand.Rand, text string) item {
	padding := field{"unknown", quote(beginning(longText, random.IntN(5000)))}
	switch kind := random.IntN(len(itemFields) + 3); {
	case kind < len(itemFields):
		name := itemFields[kind]
		bad := field{name, pick(random, badValues(name, random))}
		return item{object(field{"data", quote(text)}, bad, padding), "bad " + name}
	case kind == len(itemFields):
		return item{pick(random, []string{`null`, `true`, `12`, `[1, "a"]`, `""`, quote(longText)}), "not an object"}
	case kind == len(itemFields)+1:
		return item{object(padding), "no data"}
	}
	data := pick(random, badData())
	return item{object(field{"data", data.value}, padding), data.name}
}

// goodItem returns an item that connect.publish takes.
func goodItem(random *rand.Rand, text, id string) item {
	return item{object(field{"data", quote(text)}, pick(random, goodFields(id))), ""}
}

func object(fields ...field) string {
	var parts []string
	for _, f := range fields {
		parts = append(parts, fmt.Sprintf("%q: %s", f.name, f.value))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func quote(text string) string {
	out, err := json.Marshal(text)
	if err != nil {
		return err.Error() // a string can always be encoded
	}
	return string(out)
}

// beginning returns the first n characters of a text, or all of it.
func beginning(text string, n int) string {
	characters := []rune(text)
	return string(characters[:min(n, len(characters))])
}

func pick[T any](random *rand.Rand, values []T) T { return values[random.IntN(len(values))] }
