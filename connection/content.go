package connection

import (
	"encoding/json"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Content is the content of a message as Zato is to get it: JSON as it is, so that
// numbers keep their digits, and anything else as a text.
func Content(msg *service.Message) (any, error) {
	content, err := msg.AsBytes()
	if err != nil {
		return nil, err
	}
	if json.Valid(content) {
		return json.RawMessage(content), nil
	}
	return string(content), nil
}
