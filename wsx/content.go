package wsx

import (
	"encoding/json"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// JSONOrText returns content in a form that encoding/json can encode: valid JSON as it is,
// so that numbers keep their digits, and anything else as a string. It is the reverse of
// Response.Content.
func JSONOrText(content []byte) any {
	switch {
	case wire.Valid(content):
		return wire.ValidJSON{RawMessage: content}
	case json.Valid(content):
		return json.RawMessage(content)
	}
	return string(content)
}
