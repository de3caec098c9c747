package processor

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/wsx"
)

// calls are those that the messages of a batch ask for.
type calls struct {
	// mu guards what follows: the executors are not for several goroutines.
	mu       sync.Mutex
	pending  service.MessageBatch
	taken    int
	names    func(index int) (string, error)
	requests *service.MessageBatchBloblangExecutor // nil: the content is the request
}

func (p *processor) callsOf(batch service.MessageBatch) *calls {
	c := &calls{pending: batch, names: func(int) (string, error) { return p.name, nil }}
	if !p.static {
		c.names = batch.InterpolationExecutor(p.service).TryString
	}
	if p.request != nil {
		c.requests = batch.BloblangExecutor(p.request)
	}
	return c
}

// take returns the next call and its message, nil when none is left. A message of which
// no call can be made is flagged.
func (c *calls) take() (*service.Message, wsx.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > 0 {
		msg, index := c.pending[0], c.taken
		c.pending, c.taken = c.pending[1:], c.taken+1
		call, err := c.call(index, msg)
		if err == nil {
			return msg, call
		}
		msg.SetError(err)
	}
	return nil, wsx.Call{}
}

// fail flags the messages that are left.
func (c *calls) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, msg := range c.pending {
		msg.SetError(err)
	}
	c.pending = nil
}

// call makes the call for one message of the batch. Its errors name the field.
func (c *calls) call(index int, msg *service.Message) (wsx.Call, error) {
	name, err := c.names(index)
	if err != nil {
		return wsx.Call{}, fmt.Errorf("field %s: %w", fieldService, err)
	}
	var data any
	if c.requests != nil {
		data, err = mapped(c.requests, index)
	} else {
		data, err = connection.Content(msg)
	}
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
