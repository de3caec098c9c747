package check

import (
	"crypto/x509"
	"errors"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// remedy says what to do about a step that failed.
func remedy(step string, err error) string {
	switch step {
	case stepDNS:
		return "check the name of the host in address, and that this machine can resolve it"
	case stepTCP:
		return "check that the server runs, that the port in address is its channel's, and that no firewall is between"
	case stepTLS:
		return certificateRemedy(err)
	case stepUpgrade:
		return "check the path in address against the channel's in Zato, and that the channel is active"
	case stepLogin:
		if errors.Is(err, wsx.ErrLoginRefused) {
			return "compare username and secret with the security definition of the channel in Zato"
		}
		return "look at the server's log: it took the connection and did not answer the login"
	}
	return ""
}

func certificateRemedy(err error) string {
	var invalid x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the certificate, which is good from " + invalid.Cert.NotBefore.Format(time.DateOnly) +
			" to " + invalid.Cert.NotAfter.Format(time.DateOnly) + ", or mend this machine's clock"
	case errors.As(err, &authority):
		return "name the authority that signed it: tls.root_cas_file"
	case errors.As(err, &name):
		return "use a host in address that the certificate is for"
	}
	return "check that the port in address speaks TLS, and what tls says of certificates"
}

// refusalRemedy says what to do where the server refuses something to one in a role.
func refusalRemedy(err error, role string) string {
	var refused *wsx.ServerError
	switch {
	case errors.As(err, &refused) && role != "":
		return "check that Zato has the topic, and that the " + role + " patterns of the channel's pub/sub endpoint match it"
	case errors.Is(err, wsx.ErrConnectionLost):
		return "check that a pub/sub endpoint in Zato is for this channel: without one Zato ends the connection"
	}
	return "look at the server's log"
}
