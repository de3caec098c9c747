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
	// Service is the name of the service. Leave it empty on a channel that is mounted on
	// a single service. The input of that service is then Request as it is.
	Service string
	// Request is any value that encoding/json can encode. Nil sends none. On a gateway,
	// a request that Python takes for false ({}, [], "", 0, false, null) makes the service
	// see the gateway's own arguments, a defect of the server (docs/protocol.md,
	// "Invoking services").
	Request any
	// MessageID is the caller's id of the message. It must be unique among the pending
	// calls. The default is generated.
	MessageID string
	// Deadline, if set, is when the call is abandoned, as if the context had ended then.
	// It costs a fraction of what such a context costs.
	Deadline time.Time
}

// Response is the answer to a Call.
type Response struct {
	// Data is the answer of the service, without the gateway's wrapper. It is empty if
	// the server left it out. A gateway sends "" (two quotes) for every answer that Python
	// takes for false. Data may share memory as Message.Data does.
	Data json.RawMessage
	// Status is the server's status, an HTTP status code.
	Status int
	// MessageID is the id of the request.
	MessageID string
}

// Content returns the answer as bytes: the text of a JSON string, or else the JSON text
// itself, with numbers unchanged.
func (r *Response) Content() ([]byte, error) { return wire.Content(r.Data) }

// Invoke calls a service and returns its answer without the gateway's wrapper. See Call.
func (c *Client) Invoke(ctx context.Context, service string, request any) (json.RawMessage, error) {
	resp, err := c.Call(ctx, Call{Service: service, Request: request})
	if err != nil {
		return nil, err
	}
	return resp.Data, nil
}

// Call calls a service. It waits for a connection, a slot and the answer, until ctx ends
// or the deadline of the call passes. If neither has a deadline, the call timeout
// applies. The connection outlives ctx.
//
// A call that was not sent because the connection ended goes out on the next one. If the
// service fails, the error is a *ServerError. SendStatusOf says for any error whether
// the request reached the server.
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

// operation is what the client is doing, for errors.
type operation struct{ verb, target string }

func (o operation) String() string {
	if o.target == "" {
		return o.verb
	}
	return fmt.Sprintf("%s %q", o.verb, o.target)
}

// data returns the data part of the frame.
func (call *Call) data() (wire.Data, error) {
	if s, ok := call.Request.(string); ok && !utf8.ValidString(s) {
		return wire.Data{}, &InvalidError{"request", "is not valid UTF-8"}
	}
	var request json.RawMessage
	if call.Request != nil {
		var err error
		if request, err = wire.JSON(call.Request); err != nil {
			return wire.Data{}, &InvalidError{"request", "cannot be encoded as JSON: " + err.Error()}
		}
	}
	if call.Service != "" {
		return wire.Invocation(call.Service, request), nil
	}
	return wire.Data{JSON: request}, nil
}

// do sends data as an invocation and returns the answer. If a connection ends before the
// request is sent, it tries the next one. The explicit deadline is that of Call.Deadline.
func (c *Client) do(
	ctx context.Context, op operation, id string, explicit time.Time, data *wire.Data,
) (*Response, error) {
	deadline := c.callDeadline(ctx, explicit)
	c.calls.Add(1)
	defer c.calls.Add(-1)
	if id == "" {
		id = c.newID("inv")
	}
	for {
		s, err := c.awaitSessionUntil(ctx, deadline)
		if err != nil {
			return nil, &CallError{Op: op.String(), SendStatus: NotSent, Err: err}
		}
		r, err := s.call(ctx, deadline, c.meta(wire.ActionInvokeService, id), data)
		switch {
		case err == nil:
			return response(id, data, r), nil
		case s.alive() || SendStatusOf(err) != NotSent || errors.Is(err, ErrRequestTooLarge):
			return nil, explainCall(op.String(), err)
		}
	}
}

// meta returns the meta part with which every frame of this client begins.
func (c *Client) meta(action, id string) wire.Meta {
	return wire.Meta{
		Action: action, ID: id, Time: time.Now(),
		ClientID: c.cfg.ClientID, ClientName: c.cfg.ClientName,
	}
}

// explainCall adds the operation to the error of a call.
func explainCall(op string, err error) error {
	var unanswered *CallError
	if errors.As(err, &unanswered) {
		return &CallError{Op: op, SendStatus: unanswered.SendStatus, Err: err}
	}
	return fmt.Errorf("%s: %w", op, err)
}

// response returns the answer to a call, without the wrapper of the gateway.
func response(id string, data *wire.Data, r result) *Response {
	out := &Response{Data: r.data, Status: r.status, MessageID: id}
	if data.ThroughGateway() {
		out.Data = wire.Unwrap(r.data)
	}
	return out
}

// call sends a caller's request and waits for the answer. It waits for a slot first.
func (s *session) call(ctx context.Context, deadline callDeadline, meta wire.Meta, data *wire.Data) (result, error) {
	if err := s.acquire(ctx, deadline, s.pending.slots); err != nil {
		if s.alive() {
			err = fmt.Errorf("no connection was free: %w", err)
		}
		return result{}, notSent(err)
	}
	return s.roundTrip(ctx, deadline, &meta, data, true)
}

// controlCall sends a request of the session's own and waits for the answer. It needs no
// slot.
func (s *session) controlCall(ctx context.Context, meta wire.Meta, data *wire.Data) (result, error) {
	return s.roundTrip(ctx, callDeadline{}, &meta, data, false)
}

// roundTrip sends a request and waits for its answer. If the caller holds a slot, it is
// released when the server has answered.
func (s *session) roundTrip(
	ctx context.Context, deadline callDeadline, meta *wire.Meta, data *wire.Data, slot bool,
) (result, error) {
	meta.Token = s.token
	call, err := s.pending.register(meta.ID, deadline, slot)
	if err != nil {
		return result{}, err
	}
	if err := s.send(ctx, deadline, meta, data); err != nil {
		return result{}, s.pending.cancel(meta.ID, call, err)
	}
	return s.pending.wait(ctx, call)
}
