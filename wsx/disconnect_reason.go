package wsx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
)

// DisconnectReason says in a word why a connection ended, or could not be opened. It is what
// errors are grouped by in metrics.
type DisconnectReason string

// The causes.
const (
	ReasonLoginRefused        DisconnectReason = "login_refused"
	ReasonUpgradeRefused      DisconnectReason = "upgrade_refused"      // no channel at this address
	ReasonTLS                 DisconnectReason = "tls"                  // a certificate, or no TLS there
	ReasonSubscriptionRefused DisconnectReason = "subscription_refused" // made or resumed
	ReasonSessionEnded        DisconnectReason = "session_ended"        // by the server: the token has expired
	ReasonClosedByServer      DisconnectReason = "closed_by_server"     // with a close frame
	ReasonClosedByClient      DisconnectReason = "closed_by_client"     // by Close
	ReasonBadFrame            DisconnectReason = "bad_frame"            // too large, or not to be read
	ReasonSilence             DisconnectReason = "silence"              // nothing came, not even a ping
	ReasonTimeout             DisconnectReason = "timeout"              // of opening the connection
	ReasonUnreachable         DisconnectReason = "unreachable"          // no such host, or nobody listens
	ReasonLost                DisconnectReason = "lost"                 // reset, or ended without a word
)

// ReasonOf returns the cause of an error that Config.OnState or Client.State told.
func ReasonOf(err error) DisconnectReason {
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
		return ReasonClosedByClient
	case errors.Is(err, ErrLoginRefused):
		return ReasonLoginRefused
	case errors.Is(err, ErrSubscribeFailed), errors.Is(err, ErrResumeFailed):
		return ReasonSubscriptionRefused
	case errors.As(err, &upgrade):
		return ReasonUpgradeRefused
	case errors.As(err, &certificate), errors.As(err, &notTLS):
		return ReasonTLS
	case errors.As(err, &closed):
		return ReasonClosedByServer
	case errors.As(err, &frame):
		return ReasonBadFrame
	case errors.As(err, &server):
		return ReasonSessionEnded
	case errors.As(err, &host), errors.As(err, &dialing) && dialing.Op == "dial":
		return ReasonUnreachable
	case errors.Is(err, context.DeadlineExceeded):
		return ReasonTimeout
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, errStalled):
		return ReasonSilence
	}
	return ReasonLost
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

var errStalled = errors.New("the server has not answered a call that timed out long ago")
