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

// ServerRequest is a request from the server. By default the server waits five seconds
// for the response and then takes it for null.
type ServerRequest struct {
	// ID is the server's id of the request.
	ID string
	// Data is the request as JSON. It is empty if the server left it out.
	Data json.RawMessage
}

// Content returns the request as bytes: the text of a JSON string, or else the JSON text
// itself, with numbers unchanged.
func (r *ServerRequest) Content() ([]byte, error) { return wire.Content(r.Data) }

// ServerRequestHandler responds to a request from the server. The client encodes the
// value as JSON, and an error as {"error": TEXT}. Each request has its own goroutine.
//
// The context ends when the response is no longer useful. Its cause is
// context.DeadlineExceeded after the request timeout, when the client responds with an
// error, and otherwise ErrConnectionLost or ErrClosed. The handler should return then.
// The client drops what it returns.
type ServerRequestHandler func(ctx context.Context, r *ServerRequest) (any, error)

// maxServerRequests is how many requests of the server are handled at once. The client
// responds to a further one with an error.
const maxServerRequests = 1024

// answerNull is the handler of a client that has none.
func answerNull(context.Context, *ServerRequest) (any, error) {
	return nil, nil //nolint:nilnil // null is the answer
}

// errorReply is the response that stands for an error.
type errorReply struct {
	Error string `json:"error"`
}

// startRequest starts to handle a request of the server.
func (s *session) startRequest(f wire.Frame) {
	request := &ServerRequest{ID: f.Meta.ID, Data: f.Data}
	select {
	case s.requestSlots <- struct{}{}:
		s.running.Go(func() { s.serveRequest(request) })
	default:
		s.client.log.Warn("refused a request of the server: too many are being handled", "limit", maxServerRequests)
		s.running.Go(func() { s.sendAnswer(request.ID, errorReply{"too many requests at once"}) })
	}
}

// serveRequest calls the handler and responds exactly once, within the request timeout.
func (s *session) serveRequest(request *ServerRequest) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(s.client.ctx))
	defer cancel(nil)
	answer := make(chan any, 1)
	s.running.Go(func() {
		defer func() { <-s.requestSlots }()
		answer <- s.callHandler(ctx, request)
	})
	timer := time.NewTimer(s.client.cfg.RequestTimeout)
	defer timer.Stop()
	select {
	case a := <-answer:
		s.sendAnswer(request.ID, a)
	case <-timer.C:
		err := fmt.Errorf("no answer within %s: %w", s.client.cfg.RequestTimeout, context.DeadlineExceeded)
		cancel(err)
		s.sendAnswer(request.ID, errorReply{err.Error()})
	case <-s.closing:
		cancel(s.closedErr())
	}
}

// callHandler calls the handler and returns what to respond.
func (s *session) callHandler(ctx context.Context, request *ServerRequest) any {
	answer, err := s.client.cfg.OnRequest(ctx, request)
	if err != nil {
		return errorReply{err.Error()}
	}
	return answer
}

// sendAnswer responds to a request of the server, which does not confirm it. A late
// response does no harm (docs/protocol.md, "Requests from the server").
func (s *session) sendAnswer(id string, answer any) {
	ctx, cancel := context.WithTimeout(s.client.ctx, s.client.cfg.Timeout)
	defer cancel()
	err := s.respond(ctx, id, answer)
	if errors.Is(err, ErrInvalid) {
		err = s.respond(ctx, id, errorReply{"no answer: " + err.Error()})
	}
	if err != nil && s.alive() {
		s.client.log.Warn("could not respond to a request of the server", "error", err)
	}
}

// respond sends a client-response to the frame of the server with the given id.
func (s *session) respond(ctx context.Context, id string, answer any) error {
	if text, ok := answer.(string); ok && !utf8.ValidString(text) {
		return &InvalidError{"response", "is not valid UTF-8"}
	}
	meta := s.client.meta(wire.ActionClientResponse, s.client.newID("rsp"))
	meta.Token, meta.InReplyTo = s.token, id
	encoded, err := wire.JSON(answer)
	if err != nil {
		return &InvalidError{"response", "cannot be encoded as JSON: " + err.Error()}
	}
	data := wire.Response(encoded)
	return s.send(ctx, callDeadline{}, &meta, &data)
}
