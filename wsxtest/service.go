package wsxtest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Service is a Zato service. It runs in the goroutine that reads the caller's
// connection, which hence reads nothing else meanwhile. Its result is marshalled,
// a [json.RawMessage] passes as it is. The context ends when the server stops.
type Service func(ctx context.Context, inv Invocation) (any, error)

// Invocation is what a service is told.
type Invocation struct {
	// Service is the name that was invoked, "" on a channel with one service.
	Service string
	// Request is the service's input, nil if there is none. When the request of
	// a call through a gateway is absent or false in Python's eyes, it is the
	// gateway's own arguments, which is a defect of Zato's.
	Request json.RawMessage
	// Payload is the request as the client sent it, nil if absent.
	Payload json.RawMessage
	// ClientID and ClientName are those of the login, not of the frame.
	ClientID, ClientName string
	// Attributes are those of the login.
	Attributes map[string]any
	// PubClientID is the server's own id of the connection.
	PubClientID string
	// Peer is the client's network address.
	Peer string
	// CID is the correlation id: the id of the answer that will be sent.
	CID string
	// TokenExpiresAt is when the session ends unless pings are answered.
	TokenExpiresAt time.Time
	// Session is the caller's connection.
	Session *Session
}

// StatusError makes a service answer with a status of its own. Any other error
// is a 500 with the text "Internal server error".
type StatusError struct {
	Status  int
	Message string
}

// Error returns the message with its status.
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

// Request sends a request to the caller's client. The client's answer cannot be
// read while the service runs, so the result is null after the time-out, 5 s
// if it is 0 (transcript server-requests).
func (s *Session) Request(ctx context.Context, data any, timeout time.Duration) (json.RawMessage, error) {
	return s.conn.sendRequestContext(ctx, s.cid, data, timeout)
}

// CloseAfter closes the connection with a close frame after a delay.
func (s *Session) CloseAfter(d time.Duration, code int, reason string) {
	s.conn.runAfter(d, func() { s.conn.sendClose(code, reason) })
}

// Cut closes the connection without a close frame, at once.
func (s *Session) Cut() {
	s.conn.closeAbruptly()
}
