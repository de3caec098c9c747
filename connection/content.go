package connection

import (
	"bytes"
	"encoding/json"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/internal/jsontext"
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

// OneLine returns the content of the data that Zato sent. Unless that is a text, it removes the
// white space with which Zato indents JSON.
func OneLine(data json.RawMessage, content []byte) []byte {
	isText := bytes.HasPrefix(data, []byte{'"'})
	if isText || !bytes.ContainsAny(content, " \t\r\n") {
		return content
	}
	compact, err := jsontext.Compact(content)
	if err != nil {
		return content
	}
	return compact
}
