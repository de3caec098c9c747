package wsx

import (
	"errors"
	"fmt"
)

// Conditions a caller may want to tell apart with errors.Is.
var (
	// ErrNotConnected says that there was no connection to use. Nothing was sent.
	ErrNotConnected = errors.New("not connected")
	// ErrConnectionLost says that the connection ended before an answer came.
	// What was asked for may have been done.
	ErrConnectionLost = errors.New("connection lost before the answer came")
	// ErrClosed says that the client was closed.
	ErrClosed = errors.New("client closed")
	// ErrLoginRefused says that the server did not take the username and the secret.
	ErrLoginRefused = errors.New("login refused: check username and secret")
	// ErrSubscribeFailed says that the server did not make a subscription: is there
	// such a topic, and may the user read it?
	ErrSubscribeFailed = errors.New("subscription refused")
	// ErrResumeFailed says that a subscription could not be taken up again.
	ErrResumeFailed = errors.New("subscription could not be resumed")
	// ErrInvalid says that an argument was refused before anything was sent.
	ErrInvalid = errors.New("invalid")
)

// ServerError is a refusal or a failure that the server itself reported.
type ServerError struct {
	// Status is an HTTP status code, such as 403, 404 or 500.
	Status int
	// Text is the server's own message.
	Text string
	// CID is the server's correlation id, which its log can be searched for.
	// It is empty when the connection itself was refused.
	CID string
}

// Error gives status, text and cid.
func (e *ServerError) Error() string {
	if e.CID == "" {
		return fmt.Sprintf("the server answered %d %s", e.Status, e.Text)
	}
	return fmt.Sprintf("the server answered %d %s (cid %s)", e.Status, e.Text, e.CID)
}

// InvalidError is an argument that was refused before anything was sent.
// errors.Is(err, ErrInvalid) is true for it.
type InvalidError struct {
	// Field is the name of the field on the wire or in Config.
	Field string
	// Problem says what is wrong and what to do.
	Problem string
}

// Error names the field and the problem.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Problem }

// Is makes every InvalidError match ErrInvalid.
func (*InvalidError) Is(target error) bool { return target == ErrInvalid }

// CallError is a call that ended without an answer.
type CallError struct {
	// Op says what was being done, for example: invoking "my.service".
	Op string
	// SendStatus says whether the server can have seen the request.
	SendStatus SendStatus
	// Err is the cause.
	Err error
}

// Error says what was being done and what came of it.
func (e *CallError) Error() string {
	return e.Op + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }

// SendStatus answers whether a request reached the server.
type SendStatus int

// The three answers. The zero value is the careful one.
const (
	MaybeSent SendStatus = iota // it may have been received and carried out
	NotSent                     // it was certainly not received
	WasSent                     // it was received: the server answered it
)

// String returns unknown, no or yes.
func (c SendStatus) String() string {
	switch c {
	case NotSent:
		return "no"
	case WasSent:
		return "yes"
	case MaybeSent:
	}
	return "unknown"
}

// SendStatusOf tells whether the request that failed with err reached the server. A
// request that was certainly not sent can be repeated without doing anything
// twice.
func SendStatusOf(err error) SendStatus {
	var call *CallError
	var server *ServerError
	switch {
	case errors.As(err, &call):
		return call.SendStatus
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrNotConnected), errors.Is(err, ErrClosed):
		return NotSent
	case errors.As(err, &server):
		return WasSent
	}
	return MaybeSent
}
