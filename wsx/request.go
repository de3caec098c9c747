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

// Request is a request from the server, which waits five seconds by default
// for the answer and takes it for null after that.
type Request struct {
	// ID is the server's id of the request.
	ID string
	// Data is what was asked, as JSON; empty where the server left it out.
	Data json.RawMessage
}

// Content is what was asked as bytes: the text itself where it is a JSON string,
// else its JSON text, numbers untouched.
func (r *Request) Content() ([]byte, error) { return wire.Content(r.Data) }

// RequestHandler answers a request from the server. What it returns is encoded
// as JSON; an error is answered as {"error": TEXT}. Each request has a goroutine
// of its own. The context ends when the answer is no longer of use, with the
// reason as its cause: context.DeadlineExceeded after the request time-out, when
// the server is answered with an error; else ErrConnectionLost or ErrClosed. The
// handler is to return then; what it returns is dropped.
type RequestHandler func(ctx context.Context, r *Request) (any, error)

// maxRequests is how many requests of the server are handled at once. One more
// is answered with an error.
const maxRequests = 1024

// answerNull is the handler of a client that has none.
func answerNull(context.Context, *Request) (any, error) {
	return nil, nil //nolint:nilnil // null is the answer
}

// failed is the answer that stands for an error.
type failed struct {
	Error string `json:"error"`
}

// answerRequest starts the handler of one request.
func (s *session) answerRequest(f wire.Frame) {
	request := &Request{ID: f.Meta.ID, Data: f.Data}
	select {
	case s.requests <- struct{}{}:
		s.running.Go(func() { s.await(request) })
	default:
		s.client.log.Warn("refused a request of the server: too many are being handled", "limit", maxRequests)
		s.running.Go(func() { s.answer(request.ID, failed{"too many requests at once"}) })
	}
}

// await runs the handler and answers once, in time.
func (s *session) await(request *Request) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(s.client.life))
	defer cancel(nil)
	result := make(chan any, 1)
	s.running.Go(func() {
		defer func() { <-s.requests }()
		result <- s.handle(ctx, request)
	})
	timer := time.NewTimer(s.client.cfg.RequestTimeout)
	defer timer.Stop()
	select {
	case r := <-result:
		s.answer(request.ID, r)
	case <-timer.C:
		err := fmt.Errorf("no answer within %s: %w", s.client.cfg.RequestTimeout, context.DeadlineExceeded)
		cancel(err)
		s.answer(request.ID, failed{err.Error()})
	case <-s.dead:
		cancel(s.lost())
	}
}

// lost says why nothing more comes of this session.
func (s *session) lost() error {
	if errors.Is(s.cause, ErrClosed) {
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrConnectionLost, s.cause)
}

// handle runs the handler.
func (s *session) handle(ctx context.Context, request *Request) any {
	result, err := s.client.cfg.OnRequest(ctx, request)
	if err != nil {
		return failed{err.Error()}
	}
	return result
}

// answer answers a request, to which the server says nothing. A late answer does
// no harm (docs/protocol.md, "Requests from the server").
func (s *session) answer(id string, result any) {
	ctx, cancel := context.WithTimeout(s.client.life, s.client.cfg.Timeout)
	defer cancel()
	err := s.respond(ctx, id, result)
	if errors.Is(err, ErrInvalid) {
		err = s.respond(ctx, id, failed{"no answer: " + err.Error()})
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
	return s.send(ctx, limit{}, &meta, &data)
}
