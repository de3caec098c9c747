package connection

import (
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// Content is the content of a message as Zato is to get it: JSON as it is, so that
// numbers keep their digits, and anything else as a text.
func Content(msg *service.Message) (any, error) {
	content, err := msg.AsBytes()
	if err != nil {
		return nil, err
	}
	return wsx.JSONOrText(content), nil
}
