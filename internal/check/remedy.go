package check

import (
	"crypto/x509"
	"errors"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// stepRemedy says what to do about a step that failed.
func stepRemedy(step string, err error) string {
	switch step {
	case stepDNS:
		return "check the host name in connection.address, and that this machine can resolve it"
	case stepTCP:
		return "check that the server is running, that the port in connection.address is the channel's, " +
			"and that no firewall blocks it"
	case stepTLS:
		return certificateRemedy(err)
	case stepUpgrade:
		return upgradeRemedy(err)
	case stepLogin:
		if errors.Is(err, wsx.ErrNoCompanion) {
			return mountCompanion + "; or set connection.gateway to auto"
		}
		if errors.Is(err, wsx.ErrLoginRefused) {
			return "compare connection.username and connection.secret, secret_env or secret_file with the channel's " +
				"security definition in Zato"
		}
		if errors.Is(err, wsx.ErrCredentials) {
			return "correct the file in connection.secret_file"
		}
		return "read the server's log: the server accepted the connection and did not answer the login"
	}
	return ""
}

func certificateRemedy(err error) string {
	var invalid x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the certificate, which is valid from " + invalid.Cert.NotBefore.Format(time.DateOnly) +
			" to " + invalid.Cert.NotAfter.Format(time.DateOnly) + ", or set this machine's clock"
	case errors.As(err, &authority):
		return "set connection.tls.root_cas_file to the certificate of the authority that signed the server's"
	case errors.As(err, &name):
		return "use a host name in connection.address that the certificate is valid for"
	}
	return "check that the port in connection.address speaks TLS, and check the certificates in connection.tls"
}

// callRemedy says what to do about a call that failed. The patterns are those of the
// pub/sub endpoint that decide, if any.
func callRemedy(err error, patterns string) string {
	var serverErr *wsx.ServerError
	switch {
	case errors.Is(err, wsx.ErrNoGateway):
		return mountCompanion + "; the service that the channel is mounted on answers for all others"
	case errors.As(err, &serverErr) && patterns != "":
		return "check that the topic exists in Zato, and that the " + patterns +
			" patterns of the channel's pub/sub endpoint match it"
	case errors.Is(err, wsx.ErrConnectionLost):
		return "create a pub/sub endpoint for the channel in Zato: without one, Zato closes the connection"
	}
	return "read the server's log"
}
