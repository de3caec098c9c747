package wsx

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// Errors to test for with errors.Is.
var (
	// ErrNotConnected means that there was no connection. Nothing was sent.
	ErrNotConnected = errors.New("not connected")
	// ErrConnectionLost means that the connection ended before the answer came. The
	// server may have carried out the request.
	ErrConnectionLost = errors.New("connection lost before the answer came")
	// ErrClosed means that the client was closed.
	ErrClosed = errors.New("client closed")
	// ErrLoginRefused means that the server refused the username and the secret.
	ErrLoginRefused = errors.New("login refused: check username and secret")
	// ErrCredentials means that Config.SecretFunc or Config.TLSFunc failed.
	ErrCredentials = errors.New("the credentials could not be read")
	// ErrSubscribeFailed means that the server refused a new subscription. Check that
	// the topic exists and that the user may read it.
	ErrSubscribeFailed = errors.New("subscription refused")
	// ErrResumeFailed means that the server could not resume a subscription.
	ErrResumeFailed = errors.New("subscription could not be resumed")
	// ErrNoGateway means that the channel is mounted on a service that is not a gateway. It
	// answered a call that was meant for another service.
	ErrNoGateway = wire.ErrNoGateway
	// ErrNoCompanion means that the channel is not mounted on the companion services, which
	// GatewayConnect requires.
	ErrNoCompanion = errors.New("the channel has no companion services: mount it on connect.gateway " +
		"(zato/README.md), or set gateway: auto")
	// ErrTakenOver means that another consumer has a named subscription.
	ErrTakenOver = errors.New("another consumer has the subscription")
	// ErrNoSubscription means that a named subscription does not exist, or no longer.
	ErrNoSubscription = errors.New("there is no such subscription")
	// ErrMessageTooLarge means that the next message of a named subscription does not fit.
	// The message stays in the queue, and so do those behind it.
	ErrMessageTooLarge = errors.New("the next message is larger than three quarters of max_message_size: " +
		"raise max_message_size")
	// ErrNotOffered means that the gateway of the channel lacks an ability. It has done nothing.
	ErrNotOffered = errors.New("the gateway does not offer this: mount the channel on connect.gateway of " +
		"this version (zato/README.md)")
	// ErrNotRun means that the server did not run a request of a list, because a bound of the
	// list was reached. It can be sent again without doing anything twice.
	ErrNotRun = errors.New("the server did not run this request of a list in time")
	// ErrNotFinished means that the service still ran for a request of a list when the time
	// of the list was over. It may still take effect.
	ErrNotFinished = errors.New("the service still ran when the time of its list was over")
	// ErrRequestTooLarge means that the server, or a proxy in front of it, closed the connection
	// because of the size of the only request on it. The server has not carried it out. The
	// error also matches ErrConnectionLost.
	ErrRequestTooLarge = errors.New("the request is larger than the server or a proxy in front of it accepts")
	// ErrInvalid means that an argument is invalid. Nothing was sent.
	ErrInvalid = errors.New("invalid")

	// errStalled ends a session whose server has stopped answering calls.
	errStalled = errors.New("the server has not answered a call that timed out")
	// errHungUp ends a session whose caller no longer waits for messages or a subscription.
	errHungUp = errors.New("the connection was closed because a call was given up")
)

// IsRejected reports whether err is a rejection: of the login, the path, a subscription
// or the TLS handshake, a channel without a gateway, missing companion services, credentials
// that could not be read, or a message that is too large. An attempt soon after it is
// not likely to succeed. An UpgradeError with which a proxy says that the server behind it
// does not answer (408, 429, 502, 503, 504) is an outage and not a rejection.
func IsRejected(err error) bool {
	var upgrade *UpgradeError
	var certificate *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	return errors.Is(err, ErrLoginRefused) || errors.Is(err, ErrCredentials) ||
		errors.Is(err, ErrSubscribeFailed) || errors.Is(err, ErrResumeFailed) ||
		errors.Is(err, ErrNoGateway) || errors.Is(err, ErrNoCompanion) || errors.Is(err, ErrMessageTooLarge) ||
		errors.As(err, &upgrade) && !upgrade.isOutage() || errors.As(err, &certificate) || errors.As(err, &notTLS)
}

// ServerError is an error that the server itself returned.
type ServerError struct {
	// Status is an HTTP status code, such as 403, 404 or 500.
	Status int
	// Text is the server's message.
	Text string
	// CID is the server's correlation id, which its log contains. It is empty if the
	// server refused the connection itself.
	CID string
}

// Error returns the status, the text and the correlation id.
func (e *ServerError) Error() string {
	if e.CID == "" {
		return fmt.Sprintf("the server answered %d %s", e.Status, e.Text)
	}
	return fmt.Sprintf("the server answered %d %s (cid %s)", e.Status, e.Text, e.CID)
}

// StableText returns the text of err without the server's correlation id. The id differs
// in every answer, so two errors with the same stable text have the same cause.
func StableText(err error) string {
	var answer *ServerError
	if errors.As(err, &answer) && answer.CID != "" {
		return strings.ReplaceAll(err.Error(), answer.CID, "")
	}
	return err.Error()
}

// InvalidError is an invalid argument. Nothing was sent. It matches ErrInvalid.
type InvalidError struct {
	// Field is the name of the field on the wire or in Config.
	Field string
	// Problem says what is wrong and what to do.
	Problem string
}

// Error returns the field and the problem.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Problem }

// Is reports whether target is ErrInvalid.
func (*InvalidError) Is(target error) bool { return target == ErrInvalid }

// requestTooLargeError is ErrRequestTooLarge with the close frame.
type requestTooLargeError struct{ closed *CloseError }

func (e *requestTooLargeError) Error() string {
	return ErrRequestTooLarge.Error() + ": " + e.closed.Error()
}

func (e *requestTooLargeError) Unwrap() error { return e.closed }

func (*requestTooLargeError) Is(target error) bool {
	return target == ErrRequestTooLarge || target == ErrConnectionLost
}

// CallError is a call that ended without an answer.
type CallError struct {
	// Op is what the client was doing, for example: invoking "my.service".
	Op string
	// SendStatus says whether the server may have got the request.
	SendStatus SendStatus
	// Err is the cause.
	Err error
}

// Error returns the operation and the cause.
func (e *CallError) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }

// notSent wraps an error that occurred before the server got anything.
func notSent(err error) error {
	return &CallError{Op: "sending the request", SendStatus: NotSent, Err: err}
}

// SendStatus says whether a request reached the server.
type SendStatus int

// The values of SendStatus. The zero value is the cautious one.
const (
	MaybeSent SendStatus = iota // the server may have got the request and carried it out
	NotSent                     // the server did not get the request
	WasSent                     // the server answered the request
)

// String returns maybe sent, not sent or sent.
func (s SendStatus) String() string {
	switch s {
	case NotSent:
		return "not sent"
	case WasSent:
		return "sent"
	case MaybeSent:
	}
	return "maybe sent"
}

// SendStatusOf reports whether the request that failed with err reached the server. A
// request that is NotSent can be repeated without doing anything twice.
func SendStatusOf(err error) SendStatus {
	var call *CallError
	var server *ServerError
	switch {
	case errors.As(err, &call):
		return call.SendStatus
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrNotConnected), errors.Is(err, ErrClosed),
		errors.Is(err, ErrRequestTooLarge):
		return NotSent
	case errors.As(err, &server), IsTopicFull(err), errors.Is(err, ErrNoGateway):
		return WasSent
	}
	return MaybeSent
}

// asAnswer returns the error with which the server answered a request. The server also ends
// a session with an error, for example when the token has expired. Such an error says
// nothing of the request.
func asAnswer(err error) (refused *ServerError, ok bool) {
	ok = errors.As(err, &refused) && SendStatusOf(err) == WasSent
	return refused, ok
}

// CloseError is the close frame with which a server ended the connection.
type CloseError struct {
	// Code is one of RFC 6455, section 7.4, or Zato's own, such as 4002 for unanswered
	// pings.
	Code int
	// Text is the server's reason.
	Text string
}

// Error returns the code and the reason.
func (e *CloseError) Error() string {
	return fmt.Sprintf("the server closed the connection: %d %s", e.Code, e.Text)
}

// frameError is an invalid frame that ended the connection.
type frameError struct{ err error }

func (e *frameError) Error() string { return e.err.Error() }
func (e *frameError) Unwrap() error { return e.err }
