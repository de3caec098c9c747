package wsxtest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Service is a Zato service. It runs in the goroutine that reads the caller's
// connection, so no other frame of that connection is read until it returns. The
// result is encoded as JSON; a [json.RawMessage] is sent unchanged. The context is
// canceled when the server stops.
type Service func(ctx context.Context, inv Invocation) (any, error)

// Invocation is the input of a service.
type Invocation struct {
	// Service is the name of the service. It is empty on a channel that is
	// mounted on one service.
	Service string
	// Request is the service's input, nil if there is none. If the request of a
	// call through a gateway is absent or falsy in Python, it is the arguments of
	// the gateway, which is a defect of Zato, or "" if the gateway is of the kind
	// Connect.
	Request json.RawMessage
	// Payload is the request as the client sent it, nil if absent.
	Payload json.RawMessage
	// ClientID and ClientName are from the login, not from the frame.
	ClientID, ClientName string
	// Attributes are the attrs of the login.
	Attributes map[string]any
	// PubClientID is the id that the server gave to the connection.
	PubClientID string
	// Peer is the client's network address.
	Peer string
	// CID is the correlation id, which becomes the id of the response frame.
	CID string
	// TokenExpiresAt is when the session's token expires. Answered pings extend it.
	TokenExpiresAt time.Time
	// Session is the caller's connection.
	Session *Session
}

// StatusError is an error that a service returns to choose the status of its
// response. Any other error becomes status 500, "Internal server error".
type StatusError struct {
	Status  int
	Message string
}

// Error returns the status and the message.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%d %s", e.Status, e.Message)
}

func internalError() *StatusError {
	return &StatusError{500, "Internal server error"}
}

func notAllowed() *StatusError {
	return &StatusError{403, "You are not allowed to access this resource"}
}

// Session is the connection that a service was invoked through.
type Session struct {
	conn *session
	cid  string
}

// Request sends a request to the client that invoked the service and waits for its
// response until the timeout. A timeout of 0 means 5 s. The server cannot read the
// response while the service runs, so the result is always null (transcript
// server-requests).
func (s *Session) Request(ctx context.Context, data any, timeout time.Duration) (json.RawMessage, error) {
	return s.conn.sendRequestContext(ctx, s.cid, data, timeout)
}

// CloseAfter sends a close frame after a delay.
func (s *Session) CloseAfter(d time.Duration, code int, reason string) {
	s.conn.runAfter(d, func() { s.conn.sendClose(code, reason) })
}

// Cut closes the connection immediately, without a close frame.
func (s *Session) Cut() {
	s.conn.closeAbruptly()
}
