package wsx

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
)

// DisconnectReason is the reason, in one word, why a connection ended or could not be
// opened. Metrics use it as a label.
type DisconnectReason string

// The reasons.
const (
	ReasonLoginRefused        DisconnectReason = "login_refused"
	ReasonCredentials         DisconnectReason = "credentials"          // a secret or certificate could not be read
	ReasonUpgradeRefused      DisconnectReason = "upgrade_refused"      // there is no channel at this address
	ReasonProxyError          DisconnectReason = "proxy_error"          // a proxy answered, not the server behind it
	ReasonTLS                 DisconnectReason = "tls"                  // bad certificate, or no TLS on this port
	ReasonSubscriptionRefused DisconnectReason = "subscription_refused" // new or resumed
	ReasonNoCompanion         DisconnectReason = "no_companion"         // the channel has no companion services
	ReasonSessionEnded        DisconnectReason = "session_ended"        // the token has expired
	ReasonClosedByServer      DisconnectReason = "closed_by_server"     // with a close frame
	ReasonClosedByClient      DisconnectReason = "closed_by_client"     // by Close, or to end a call
	ReasonBadFrame            DisconnectReason = "bad_frame"            // too large or invalid
	ReasonNotDelivered        DisconnectReason = "not_delivered"        // the server stopped delivering messages
	ReasonSilence             DisconnectReason = "silence"              // nothing arrived, not even a ping
	ReasonTimeout             DisconnectReason = "timeout"              // while opening the connection
	ReasonUnreachable         DisconnectReason = "unreachable"          // no such host, or nothing listens
	ReasonLost                DisconnectReason = "lost"                 // reset, or ended without a close frame
)

// ReasonOf returns the reason of an error from Config.OnState or Client.State.
func ReasonOf(err error) DisconnectReason {
	var upgrade *UpgradeError
	var certificate *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	var server *ServerError
	var closed *CloseError
	var frame *frameError
	var dialing *net.OpError
	var host *net.DNSError
	for _, known := range []struct {
		err    error
		reason DisconnectReason
	}{
		{ErrClosed, ReasonClosedByClient},
		{errHungUp, ReasonClosedByClient},
		{ErrLoginRefused, ReasonLoginRefused},
		{ErrCredentials, ReasonCredentials},
		{ErrSubscribeFailed, ReasonSubscriptionRefused},
		{ErrResumeFailed, ReasonSubscriptionRefused},
		{ErrNoCompanion, ReasonNoCompanion},
		{errNotDelivered, ReasonNotDelivered},
	} {
		if errors.Is(err, known.err) {
			return known.reason
		}
	}
	switch {
	case errors.As(err, &upgrade):
		return upgrade.reason()
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
