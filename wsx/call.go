package wsx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
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
	// Deadline, where it is set, is when the call is given up, as if the context had
	// ended then, for a fraction of what such a context costs.
	Deadline time.Time
}

// Response is the answer to a Call.
type Response struct {
	// Data is the service's own answer, out of the gateway's wrapper. It is
	// empty when the server left it out, and "" (two quotes) through a gateway,
	// for every answer that Python takes as false. It may share memory as
	// Message.Data does.
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
// turn and for the answer, all until ctx ends or the deadline of the call passes (after
// the call timeout where neither has one). The connection outlives the caller's context.
//
// A call that was certainly not sent is sent on the next connection while there
// is time. A failure of the service is a *ServerError. Sent tells of any error
// whether the request reached the server.
func (c *Client) Call(ctx context.Context, call Call) (*Response, error) {
	op := operation{"invoking the channel's service", call.Service}
	if call.Service != "" {
		op.verb = "invoking"
	}
	data, err := call.data()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return c.do(ctx, op, call.MessageID, call.Deadline, &data)
}

// operation is what is being done, for errors.
type operation struct{ verb, target string }

func (o operation) String() string {
	if o.target == "" {
		return o.verb
	}
	return fmt.Sprintf("%s %q", o.verb, o.target)
}

// data makes the data part of the frame.
func (call *Call) data() (wire.Data, error) {
	if s, ok := call.Request.(string); ok && !utf8.ValidString(s) {
		return wire.Data{}, &InvalidError{"request", "is not valid UTF-8"}
	}
	var request json.RawMessage
	if call.Request != nil {
		var err error
		if request, err = wire.JSON(call.Request); err != nil {
			return wire.Data{}, &InvalidError{"request", "cannot be JSON: " + err.Error()}
		}
	}
	if call.Service != "" {
		return wire.Invocation(call.Service, request), nil
	}
	return wire.Data{JSON: request}, nil
}

// do sends data as an invocation until it was sent, and returns the answer.
func (c *Client) do(
	ctx context.Context, op operation, id string, deadline time.Time, data *wire.Data,
) (*Response, error) {
	end := c.callDeadline(ctx, deadline)
	c.calls.Add(1)
	defer c.calls.Add(-1)
	if id == "" {
		id = c.newID("inv")
	}
	for {
		s, err := c.awaitSessionUntil(ctx, end)
		if err != nil {
			return nil, &CallError{Op: op.String(), SendStatus: NotSent, Err: err}
		}
		a, err := s.call(ctx, end, c.meta(wire.ActionInvokeService, id), data)
		switch {
		case err == nil:
			return response(id, data, a), nil
		case s.alive() || SendStatusOf(err) != NotSent:
			return nil, explainCall(op.String(), err)
		}
	}
}

// explainCall says what was being done when err came.
func explainCall(op string, err error) error {
	var unanswered *CallError
	if errors.As(err, &unanswered) {
		return &CallError{Op: op, SendStatus: unanswered.SendStatus, Err: err}
	}
	return fmt.Errorf("%s: %w", op, err)
}

func response(id string, data *wire.Data, a result) *Response {
	out := &Response{Data: a.data, Status: a.status, MessageID: id}
	if data.ThroughGateway() {
		out.Data = wire.Unwrap(a.data)
	}
	return out
}

// Content is the answer as bytes: the text itself where it is a JSON string,
// else its JSON text, numbers untouched.
func (r *Response) Content() ([]byte, error) { return wire.Content(r.Data) }
