package check

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/zato-connect/zato-connect/wsx"
)

// upgradeRemedy says what to do about an upgrade that failed. A proxy in front of Zato may
// have answered instead of Zato.
func upgradeRemedy(err error) string {
	var refused *wsx.UpgradeError
	switch {
	case errors.As(err, &refused):
		return statusRemedy(refused)
	case errors.Is(err, context.DeadlineExceeded):
		return "check that the server, and one behind a proxy, is running and responds; if the network is slow, " +
			"raise connection.timeout"
	}
	return "check that connection.address is that of a WebSocket channel of Zato, and read the server's or proxy's log"
}

// statusRemedy says what to do about the HTTP status of a refused upgrade.
func statusRemedy(refused *wsx.UpgradeError) string {
	switch refused.Status {
	case http.StatusSwitchingProtocols, http.StatusBadRequest, http.StatusUpgradeRequired:
		return "make the proxy pass the headers Upgrade and Connection on, over HTTP/1.1, as docs/proxies.md shows; " +
			"if it does, check that connection.headers are not too long for it"
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return "set the credentials that the proxy expects in connection.headers, such as Authorization; " +
			"connection.username and connection.secret are for Zato only"
	case http.StatusForbidden:
		return "check the proxy's access rules: the address of this machine, and the headers that it expects"
	case http.StatusTooManyRequests:
		return "raise the proxy's limit of connections or requests, or lower connection.max_connections"
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "check that the Zato server behind the proxy is running, and that the proxy has its host and port; " +
			"read the proxy's log"
	}
	switch {
	case refused.RedirectTo != "":
		target := "ws" + strings.TrimPrefix(refused.RedirectTo, "http") // https becomes wss
		return "set connection.address to the address of the channel itself, probably " + target + " and its path"
	case !wsx.IsRejected(refused): // a status of a hosted proxy
		return "check that the Zato server behind the proxy is running; read the proxy's log"
	}
	return "check that the path in connection.address is that of the channel in Zato, and that the channel is active"
}
