package input

import (
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/connection"
)

// reply is what a pipeline responded to a message, by sync_response: nothing
// where it did not respond, and the last response where a message was tried
// several times. Several messages of one response become a list. A rejected
// message and a failed one are errors.
func reply(responses *service.SyncResponseStore, rejected error) (any, error) {
	if rejected != nil {
		return nil, rejected
	}
	batches := responses.Read()
	if len(batches) == 0 {
		return nil, nil //nolint:nilnil // null is the answer
	}
	last := batches[len(batches)-1]
	values := make([]any, len(last))
	for i, msg := range last {
		err := msg.GetError()
		if err == nil {
			values[i], err = connection.Content(msg)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(values) == 1 {
		return values[0], nil
	}
	return values, nil
}
