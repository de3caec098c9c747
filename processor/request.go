package processor

import (
	"encoding/json"
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/wsx"
)

// newCall makes the call for one message of a batch. Its errors name the field.
func newCall(
	names *service.MessageBatchInterpolationExecutor, requests *service.MessageBatchBloblangExecutor,
	index int, msg *service.Message,
) (wsx.Call, error) {
	name, err := names.TryString(index)
	if err != nil {
		return wsx.Call{}, fmt.Errorf("field %s: %w", fieldService, err)
	}
	request := connection.Content
	if requests != nil {
		request = func(*service.Message) (any, error) { return mapped(requests, index) }
	}
	data, err := request(msg)
	if err != nil {
		return wsx.Call{}, fmt.Errorf("invoking %q: field %s: %w", name, fieldRequest, err)
	}
	return wsx.Call{Service: name, Request: data}, nil
}

// mapped is the request that the mapping makes; none where it deletes its root.
func mapped(requests *service.MessageBatchBloblangExecutor, index int) (any, error) {
	msg, err := requests.Query(index)
	if err != nil || msg == nil {
		return nil, err
	}
	content, err := msg.AsBytes()
	if err != nil {
		return nil, err
	}
	if msg.HasStructured() {
		return json.RawMessage(content), nil
	}
	return string(content), nil
}
