package wsx

import (
	"encoding/json"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// JSONOrText is the content of a message as a request or a response: JSON as it is, so
// that numbers keep their digits, and anything else as a text. It is the other way
// round of Response.Content. What it returns can be encoded by encoding/json.
func JSONOrText(content []byte) any {
	switch {
	case wire.Valid(content):
		return wire.ValidJSON{RawMessage: content}
	case json.Valid(content):
		return json.RawMessage(content)
	}
	return string(content)
}
