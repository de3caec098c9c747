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

// ServerRequest is a request from the server, which waits five seconds by default
// for the answer and takes it for null after that.
type ServerRequest struct {
	// ID is the server's id of the request.
	ID string
	// Data is what was asked, as JSON; empty where the server left it out.
	Data json.RawMessage
}

// Content is what was asked as bytes: the text itself where it is a JSON string,
// else its JSON text, numbers untouched.
func (r *ServerRequest) Content() ([]byte, error) { return wire.Content(r.Data) }

// ServerRequestHandler answers a request from the server. What it returns is encoded
// as JSON; an error is answered as {"error": TEXT}. Each request has a goroutine
// of its own. The context ends when the answer is no longer of use, with the
// reason as its cause: context.DeadlineExceeded after the request time-out, when
// the server is answered with an error; else ErrConnectionLost or ErrClosed. The
// handler is to return then; what it returns is dropped.
type ServerRequestHandler func(ctx context.Context, r *ServerRequest) (any, error)

// maxServerRequests is how many requests of the server are handled at once. One more
// is answered with an error.
const maxServerRequests = 1024

// answerNull is the handler of a client that has none.
func answerNull(context.Context, *ServerRequest) (any, error) {
	return nil, nil //nolint:nilnil // null is the answer
}

// errorReply is the answer that stands for an error.
type errorReply struct {
	Error string `json:"error"`
}

// startRequest starts the handler of one request.
func (s *session) startRequest(f wire.Frame) {
	request := &ServerRequest{ID: f.Meta.ID, Data: f.Data}
	select {
	case s.requests <- struct{}{}:
		s.handlers.Go(func() { s.serveRequest(request) })
	default:
		s.client.log.Warn("refused a request of the server: too many are being handled", "limit", maxServerRequests)
		s.handlers.Go(func() { s.sendAnswer(request.ID, errorReply{"too many requests at once"}) })
	}
}

// serveRequest runs the handler and answers once, in time.
func (s *session) serveRequest(request *ServerRequest) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(s.client.ctx))
	defer cancel(nil)
	result := make(chan any, 1)
	s.handlers.Go(func() {
		defer func() { <-s.requests }()
		result <- s.callHandler(ctx, request)
	})
	timer := time.NewTimer(s.client.cfg.RequestTimeout)
	defer timer.Stop()
	select {
	case r := <-result:
		s.sendAnswer(request.ID, r)
	case <-timer.C:
		err := fmt.Errorf("no answer within %s: %w", s.client.cfg.RequestTimeout, context.DeadlineExceeded)
		cancel(err)
		s.sendAnswer(request.ID, errorReply{err.Error()})
	case <-s.closing:
		cancel(s.closedErr())
	}
}

// closedErr says why nothing more comes of this session.
func (s *session) closedErr() error {
	if errors.Is(s.cause, ErrClosed) {
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrConnectionLost, s.cause)
}

// callHandler runs the handler.
func (s *session) callHandler(ctx context.Context, request *ServerRequest) any {
	result, err := s.client.cfg.OnRequest(ctx, request)
	if err != nil {
		return errorReply{err.Error()}
	}
	return result
}

// sendAnswer answers a request, to which the server says nothing. A late answer does
// no harm (docs/protocol.md, "Requests from the server").
func (s *session) sendAnswer(id string, result any) {
	ctx, cancel := context.WithTimeout(s.client.ctx, s.client.cfg.Timeout)
	defer cancel()
	err := s.respond(ctx, id, result)
	if errors.Is(err, ErrInvalid) {
		err = s.respond(ctx, id, errorReply{"no answer: " + err.Error()})
	}
	if err != nil && s.alive() {
		s.client.log.Warn("could not answer a request of the server", "error", err)
	}
}

// respond sends a client-response to a frame of the server.
func (s *session) respond(ctx context.Context, id string, result any) error {
	if text, ok := result.(string); ok && !utf8.ValidString(text) {
		return &InvalidError{"response", "is not valid UTF-8"}
	}
	meta := s.client.meta(wire.ActionClientResponse, s.client.newID("rsp"))
	meta.Token, meta.InReplyTo = s.token, id
	response, err := wire.JSON(result)
	if err != nil {
		return &InvalidError{"response", "cannot be JSON: " + err.Error()}
	}
	data := wire.Response(response)
	return s.send(ctx, callDeadline{}, &meta, &data)
}
