package wsxtest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"
)

// Service is a service of the simulated server. Its result is encoded as JSON;
// json.RawMessage goes out as it is. An error is a status of 500, unless it is a
// *StatusError. The context ends with the server's connection to the client.
type Service func(ctx context.Context, inv Invocation) (any, error)

// StatusError is a failure with a status of its own.
type StatusError struct {
	Status  int
	Message string
}

// Error returns the message.
func (e *StatusError) Error() string { return e.Message }

// Invocation is one call of a service.
type Invocation struct {
	// Service is the name that was called; empty on a single-service channel.
	Service string
	// Request is what the client sent, nil where it sent nothing.
	Request json.RawMessage
	// Input is what the service sees as its input: Request, but for a request
	// that Python takes as false and that came through a gateway, whose own
	// arguments are seen instead.
	Input json.RawMessage
	// CID is the correlation id, which the answer has as its id.
	CID string
	// Who calls.
	ClientID, ClientName, PubClientID, Peer string
	Attributes                              map[string]any
	TokenExpires                            time.Time
	// Session is the connection that the call came over.
	Session *Session
}

// servicePing answers {"pong": "zato"}.
const servicePing = "zato.ping"

// emptyDict is what Zato's own services answer where others answer nothing: it
// is not replaced by an empty text (publish-subscribe).
type emptyDict struct{}

// invoke runs one service and answers. Nothing else is read meanwhile.
func (s *Session) invoke(f *clientFrame) error {
	s.server.faults.delay(s.done)
	cid := newID("")
	data, err := s.call(f, cid)
	answer := okFrame(cid, f.Meta.ID, data)
	if err != nil {
		failure := StatusError{Status: http.StatusInternalServerError, Message: textInternal}
		var own *StatusError
		if errors.As(err, &own) {
			failure = *own
		}
		answer = errorFrame(cid, f.Meta.ID, failure)
	}
	switch s.server.faults.answerFault() {
	case answerCut:
		return errGone
	case answerDropped:
		return nil
	case answerSent:
	}
	if s.isClosing() {
		// The service outlived the server's patience, and the connection was closed
		// under it: it ends now (slow-service-drops-connection).
		return errGone
	}
	if err := s.send(answer); err != nil {
		return err
	}
	for _, next := range s.takeAfterAnswer() {
		next()
	}
	return nil
}

// after runs do when the answer to the current request has been sent.
func (s *Session) after(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.afterAnswer = append(s.afterAnswer, do)
}

func (s *Session) takeAfterAnswer() []func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.afterAnswer
	s.afterAnswer = nil
	return all
}

// call finds the service, runs it and returns the data of the answer.
func (s *Session) call(f *clientFrame, cid string) (json.RawMessage, error) {
	inv := s.invocation(f, cid)
	if s.channel.Service != nil {
		s.server.account.invoked("")
		return s.result(s.channel.Service, inv)
	}
	var args struct {
		Service string          `json:"service"`
		Request json.RawMessage `json:"request"`
	}
	if json.Unmarshal(f.Data, &args) != nil || args.Service == "" {
		return nil, errors.New("no service named")
	}
	service, ok := s.lookUp(args.Service)
	if !ok {
		return nil, &StatusError{Status: http.StatusForbidden, Message: textForbidden}
	}
	inv.Service, inv.Request, inv.Input = args.Service, args.Request, args.Request
	if isFalse(args.Request) {
		inv.Input = f.Data
	}
	s.server.account.invoked(args.Service)
	result, err := s.result(service, inv)
	if err != nil {
		return nil, err
	}
	return wrap(args.Service, result), nil
}

// wrap puts a result where the gateway puts it. Of all services subscribe-wsx
// alone answers beside the wrapper (durable).
func wrap(service string, result json.RawMessage) json.RawMessage {
	if service == serviceSubscribe {
		return slices.Concat([]byte(`{"response":`), result, []byte("}"))
	}
	return slices.Concat([]byte(`{"response":{"zato_gateway_response":`), result, []byte("}}"))
}

// lookUp finds a service that the channel's gateway lets through.
func (s *Session) lookUp(name string) (Service, bool) {
	if own, ok := s.own(name); ok {
		return own, true
	}
	service, ok := s.server.services[name]
	allowed := s.channel.ServicesAllowed == nil || slices.Contains(s.channel.ServicesAllowed, name)
	return service, ok && allowed
}

// own returns the services of Zato's own, which are always allowed.
func (s *Session) own(name string) (Service, bool) {
	switch name {
	case servicePing:
		return func(context.Context, Invocation) (any, error) { return map[string]string{"pong": "zato"}, nil }, true
	case servicePublish:
		return s.publish, true
	case serviceSubscribe:
		return s.subscribeWSX, true
	case serviceCreate:
		return s.createSubscription, true
	case serviceResume:
		return s.resume, true
	case serviceUnsubscribe:
		return s.unsubscribe, true
	}
	return nil, false
}

// result runs a service and encodes what it returns. Through a gateway, a result
// that is false becomes an empty text; on a single-service channel it is left
// out of the frame (invoke, single-service).
func (s *Session) result(service Service, inv Invocation) (json.RawMessage, error) {
	result, err := service(s.life, inv)
	if err != nil {
		return nil, err
	}
	if _, empty := result.(emptyDict); empty {
		return json.RawMessage("{}"), nil
	}
	raw, err := encode(result)
	if err == nil && isFalse(raw) && s.channel.Service == nil {
		raw = json.RawMessage(`""`)
	}
	return raw, err
}

func (s *Session) invocation(f *clientFrame, cid string) Invocation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Invocation{
		Request: f.Data, Input: f.Data, CID: cid,
		ClientID: s.login.clientID, ClientName: s.login.clientName, PubClientID: s.login.pubClientID,
		Peer: s.peer, Attributes: s.login.attributes, TokenExpires: s.login.expires, Session: s,
	}
}
