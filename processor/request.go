package processor

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/internal/tracing"
	"github.com/zato-connect/zato-connect/wsx"
)

// request is the request of one message.
type request struct {
	msg  *service.Message
	call wsx.Call
	span *tracing.Span
	// alone requests are not sent in a list.
	alone bool
	// admitted requests have passed the rate limit and have not been run since.
	admitted bool
}

// calls makes the calls for the messages of a batch. Its methods may be called by several
// goroutines at once.
type calls struct {
	p *processor

	// mu guards the fields below, because the executors are not safe for concurrent use.
	mu       sync.Mutex
	pending  service.MessageBatch                  // messages whose calls have not been made
	index    int                                   // of the first pending message in the batch
	names    func(index int) (string, error)       // the service for a message
	requests *service.MessageBatchBloblangExecutor // nil if the request is the content
}

func (p *processor) newCalls(batch service.MessageBatch) *calls {
	c := &calls{p: p, pending: batch, names: func(int) (string, error) { return p.name, nil }}
	if !p.static {
		c.names = batch.InterpolationExecutor(p.service).TryString
	}
	if p.request != nil {
		c.requests = batch.BloblangExecutor(p.request)
	}
	return c
}

// runNext makes the next call.
func (c *calls) runNext(ctx context.Context, now time.Time) (more bool) {
	req, found := c.next()
	if found {
		c.p.start(&req, now) //nolint:contextcheck // the span is in the message's own context
		c.p.invoke(ctx, &req)
	}
	return found
}

// next returns the next request, if one is left. It flags and skips messages for which no
// call can be made.
func (c *calls) next() (req request, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > 0 {
		msg, index := c.pending[0], c.index
		c.pending, c.index = c.pending[1:], c.index+1
		call, err := c.call(index, msg)
		clearMetadata(msg)
		if err == nil {
			return request{msg: msg, call: call}, true
		}
		msg.SetError(err)
	}
	return request{}, false
}

// fail flags the pending messages as failed.
func (c *calls) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, msg := range c.pending {
		clearMetadata(msg)
		msg.SetError(err)
	}
	c.pending = nil
}

// clearMetadata removes what an earlier call left in the metadata of a message, so that it
// is not taken for the outcome of this one. The fields of the call may still refer to it.
func clearMetadata(msg *service.Message) {
	for _, name := range []string{metaStatus, metaRequestID, metaCID} {
		if _, found := msg.MetaGetMut(name); found {
			msg.MetaDelete(name)
		}
	}
}

// call returns the call for a message, which has an index in the batch. Its errors name the
// field.
func (c *calls) call(index int, msg *service.Message) (wsx.Call, error) {
	name, err := c.names(index)
	if err != nil {
		return wsx.Call{}, fmt.Errorf("field %s: %w", fieldService, err)
	}
	var data any
	if c.requests != nil {
		data, err = mapRequest(c.requests, index)
	} else {
		data, err = connection.Content(msg)
	}
	if err != nil {
		return wsx.Call{}, fmt.Errorf("invoking %q: field %s: %w", name, fieldRequest, err)
	}
	return wsx.Call{Service: name, Request: data}, nil
}

// mapRequest returns the result of the request mapping for a message, or nil if the mapping
// deletes its root.
func mapRequest(requests *service.MessageBatchBloblangExecutor, index int) (any, error) {
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
