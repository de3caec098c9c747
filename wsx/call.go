package wsx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// Call is one invocation of a service.
type Call struct {
	// Service is the name of the service. It is left empty on a channel that is
	// mounted on one service, whose input is then Request as it is.
	Service string
	// Request is anything that encoding/json can encode; nil sends none. On a
	// gateway, a request that Python takes as false ({}, [], "", 0, false, null)
	// makes the service see the gateway's own arguments: a defect of the server
	// (docs/protocol.md, "Invoking services").
	Request any
	// MessageID is the caller's own id of the message. It must be unique among
	// the calls that wait for an answer. The default is made up.
	MessageID string
}

// Response is the answer to a Call.
type Response struct {
	// Data is the service's own answer, out of the gateway's wrapper. It is
	// empty when the server left it out, and "" (two quotes) through a gateway,
	// for every answer that Python takes as false.
	Data json.RawMessage
	// Status is the server's status, an HTTP code.
	Status int
	// MessageID is the id with which the request was sent.
	MessageID string
}

// Invoke calls a service and returns its answer, out of the gateway's wrapper.
// See Call.
func (c *Client) Invoke(ctx context.Context, service string, request any) (json.RawMessage, error) {
	resp, err := c.Call(ctx, Call{Service: service, Request: request})
	if err != nil {
		return nil, err
	}
	return resp.Data, nil
}

// Call calls a service. It waits for a connection if there is none, for its
// turn and for the answer, all until ctx ends (after the call timeout where ctx
// has no deadline). The connection outlives the caller's context.
//
// A call that was certainly not sent is sent on the next connection while there
// is time. A failure of the service is a *ServerError. Sent tells of any error
// whether the request reached the server.
func (c *Client) Call(ctx context.Context, call Call) (*Response, error) {
	data, err := call.data()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", call.op(), err)
	}
	return c.do(ctx, call.op, call.MessageID, data)
}

// op says what is being done.
func (call Call) op() string {
	if call.Service == "" {
		return "invoking the channel's service"
	}
	return fmt.Sprintf("invoking %q", call.Service)
}

// data makes the data part of the frame.
func (call Call) data() (any, error) {
	if s, ok := call.Request.(string); ok && !utf8.ValidString(s) {
		return nil, &InvalidError{"request", "is not valid UTF-8"}
	}
	var request json.RawMessage
	if call.Request != nil {
		var err error
		if request, err = json.Marshal(call.Request); err != nil {
			return nil, &InvalidError{"request", "cannot be JSON: " + err.Error()}
		}
	}
	if call.Service != "" {
		return wire.Invocation{Service: call.Service, Request: request}, nil
	}
	if request == nil {
		return nil, nil //nolint:nilnil // no data is what the service gets
	}
	return request, nil
}

// do sends data as an invocation until it was sent, and returns the answer. What is
// being done is said by op, where there is an error.
func (c *Client) do(ctx context.Context, op func() string, id string, data any) (*Response, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	c.calls.Add(1)
	defer c.calls.Add(-1)
	if id == "" {
		id = c.newID("inv")
	}
	for {
		s, err := c.await(ctx)
		if err != nil {
			return nil, &CallError{Op: op(), Sent: SentNo, Err: err}
		}
		a, err := s.call(ctx, c.meta(wire.ActionInvokeService, id), data)
		switch {
		case err == nil:
			return response(id, data, a), nil
		case s.alive() || Sent(err) != SentNo:
			return nil, explainCall(op(), err)
		}
	}
}

// explainCall says what was being done when err came.
func explainCall(op string, err error) error {
	var unanswered *CallError
	if errors.As(err, &unanswered) {
		return &CallError{Op: op, Sent: unanswered.Sent, Err: err}
	}
	return fmt.Errorf("%s: %w", op, err)
}

func response(id string, data any, a answer) *Response {
	out := &Response{Data: a.data, Status: a.status, MessageID: id}
	if _, gateway := data.(wire.Invocation); gateway {
		out.Data = wire.Unwrap(a.data)
	}
	return out
}

// Content is the answer as bytes: the text itself where it is a JSON string,
// else its JSON text, numbers untouched.
func (r *Response) Content() ([]byte, error) { return wire.Content(r.Data) }
