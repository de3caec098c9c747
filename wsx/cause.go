package wsx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
)

// Cause says in a word why a connection ended, or could not be opened. It is what
// errors are grouped by in metrics.
type Cause string

// The causes.
const (
	CauseLogin        Cause = "login_refused"
	CauseUpgrade      Cause = "upgrade_refused"      // no channel at this address
	CauseTLS          Cause = "tls"                  // a certificate, or no TLS there
	CauseSubscription Cause = "subscription_refused" // made or resumed
	CauseSession      Cause = "session_ended"        // by the server: the token has expired
	CauseServer       Cause = "closed_by_server"     // with a close frame
	CauseClient       Cause = "closed_by_client"     // by Close
	CauseFrame        Cause = "bad_frame"            // too large, or not to be read
	CauseSilence      Cause = "silence"              // nothing came, not even a ping
	CauseTimeout      Cause = "timeout"              // of opening the connection
	CauseUnreachable  Cause = "unreachable"          // no such host, or nobody listens
	CauseLost         Cause = "lost"                 // reset, or ended without a word
)

// CauseOf returns the cause of an error that Config.OnState or Client.State told.
func CauseOf(err error) Cause {
	var upgrade *UpgradeError
	var certificate *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	var server *ServerError
	var closed *CloseError
	var frame *frameError
	var dialing *net.OpError
	var host *net.DNSError
	switch {
	case errors.Is(err, ErrClosed):
		return CauseClient
	case errors.Is(err, ErrLoginRefused):
		return CauseLogin
	case errors.Is(err, ErrSubscription), errors.Is(err, ErrResume):
		return CauseSubscription
	case errors.As(err, &upgrade):
		return CauseUpgrade
	case errors.As(err, &certificate), errors.As(err, &notTLS):
		return CauseTLS
	case errors.As(err, &closed):
		return CauseServer
	case errors.As(err, &frame):
		return CauseFrame
	case errors.As(err, &server):
		return CauseSession
	case errors.As(err, &host), errors.As(err, &dialing) && dialing.Op == "dial":
		return CauseUnreachable
	case errors.Is(err, context.DeadlineExceeded):
		return CauseTimeout
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, errStuck):
		return CauseSilence
	}
	return CauseLost
}

// CloseError is the close frame with which a server ended the connection.
type CloseError struct {
	// Code is of RFC 6455, section 7.4, or of Zato's own, such as 4002 for pings that
	// were not answered.
	Code int
	// Text is the server's reason.
	Text string
}

// Error gives code and reason.
func (e *CloseError) Error() string {
	return fmt.Sprintf("the server closed the connection: %d %s", e.Code, e.Text)
}

// frameError is a frame that ended the connection.
type frameError struct{ err error }

func (e *frameError) Error() string { return e.err.Error() }
func (e *frameError) Unwrap() error { return e.err }

var errStuck = errors.New("the server has not answered a call that timed out long ago")
