package input

import (
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/connection"
)

// reply returns what the pipeline handed to sync_response for a message, or nil if that is nothing. If there are
// several responses, as after a retry, the last one counts. A response of several messages becomes a list. reply
// returns an error if the message was rejected, or if a message of the response has an error.
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
