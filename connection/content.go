package connection

import (
	"bytes"
	"encoding/json"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// Content returns the content of a message in the form in which Zato gets it: JSON unchanged,
// so that numbers keep their digits, and anything else as a string.
func Content(msg *service.Message) (any, error) {
	content, err := msg.AsBytes()
	if err != nil {
		return nil, err
	}
	return wsx.JSONOrText(content), nil
}

// OneLine returns JSON without the white space between its tokens, with which Zato indents what
// it sends. Numbers and the order of keys do not change.
func OneLine(text []byte) []byte {
	var out bytes.Buffer
	out.Grow(len(text))
	if json.Compact(&out, text) != nil {
		return text
	}
	return out.Bytes()
}
