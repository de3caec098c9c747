package wsx

import (
	"context"
	"encoding/json"
	"sync"

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

// RequestHandler answers a request from the server. What it returns is encoded
// as JSON; an error is answered as {"error": TEXT}. Each request has a goroutine
// of its own. The context ends when the answer is no longer of use because the
// connection died or the client was closed.
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

// requests counts the handlers that run.
type requests struct {
	running sync.WaitGroup
	places  chan struct{}
}

// answerRequest starts the handler of one request.
func (s *session) answerRequest(f *wire.Frame) {
	request := &Request{ID: f.Meta.ID, Data: f.Data}
	select {
	case s.requests.places <- struct{}{}:
	default:
		s.client.log.Warn("refused a request of the server: too many are being handled", "limit", maxRequests)
		s.requests.running.Go(func() { s.answer(request.ID, failed{"too many requests at once"}) })
		return
	}
	s.requests.running.Go(func() {
		defer func() { <-s.requests.places }()
		s.answer(request.ID, s.handle(request))
	})
}

// handle runs the handler under a context that ends with the session.
func (s *session) handle(request *Request) any {
	ctx, cancel := context.WithCancel(s.client.life)
	defer cancel()
	go func() {
		select {
		case <-s.dead:
			cancel()
		case <-ctx.Done():
		}
	}()
	result, err := s.client.cfg.OnRequest(ctx, request)
	if err != nil {
		return failed{err.Error()}
	}
	return result
}

// answer sends a client-response, to which the server answers nothing. A late
// one does no harm (docs/protocol.md, "Requests from the server").
func (s *session) answer(id string, result any) {
	meta := s.client.meta(wire.ActionClientResponse, s.client.newID("rsp"))
	meta.Token, meta.InReplyTo = s.token, id
	frame, err := wire.Encode(meta, wire.Answer{Response: result})
	if err != nil {
		frame, err = wire.Encode(meta, wire.Answer{Response: failed{"the answer cannot be JSON: " + err.Error()}})
	}
	if err != nil {
		s.client.log.Error("could not encode an answer to the server", "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(s.client.life, s.client.cfg.Timeout)
	defer cancel()
	if err := s.send(ctx, frame); err != nil && s.alive() {
		s.client.log.Warn("could not answer a request of the server", "error", err)
	}
}
