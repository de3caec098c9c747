package wsx

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// UpgradeError means that an HTTP server answered and refused the upgrade to a
// WebSocket. The HTTP server may be a proxy in front of Zato.
type UpgradeError struct {
	// Status is the HTTP status.
	Status int
	// RedirectTo is where a redirect leads: a scheme and a host, such as
	// https://zato.example.com. It is empty if the answer is no redirect. It has no path
	// or query because these may contain a secret.
	RedirectTo string
	// RetryAfter is the wait that the header Retry-After of a 429 or 503 asks for. It is
	// zero if there is none. The client waits at least that long before its next attempt,
	// but no longer than Config.MaxBackOff.
	RetryAfter time.Duration

	useTLS bool // the address is ws:// and the redirect leads to https://
}

// newUpgradeError returns the error for an answer that is not an upgrade.
func newUpgradeError(resp *http.Response) *UpgradeError {
	e := &UpgradeError{Status: resp.StatusCode}
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		if target, err := resp.Location(); err == nil && target.Host != "" {
			e.RedirectTo = target.Scheme + "://" + target.Host
			e.useTLS = target.Scheme == "https" && resp.Request.URL.Scheme != "https"
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		e.RetryAfter = retryAfter(resp.Header)
	}
	return e
}

// maxRetryAfter bounds Retry-After so that a duration cannot overflow.
const maxRetryAfter = 24 * time.Hour

// retryAfter returns the wait that the header Retry-After asks for, in seconds or as a
// date (RFC 9110, section 10.2.3). It measures a date from the date of the answer, so
// that the clocks of both machines need not agree.
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		limit := int64(maxRetryAfter / time.Second)
		return time.Duration(min(max(seconds, 0), limit)) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(until.Sub(now), 0), maxRetryAfter)
}

// reason returns the reason for metrics.
func (e *UpgradeError) reason() DisconnectReason {
	if e.isOutage() {
		return ReasonProxyError
	}
	return ReasonUpgradeRefused
}

// isOutage reports whether the status says that a proxy works and the server behind it
// does not, or that the proxy limits its clients. An attempt soon after it may succeed.
// The statuses from 520 to 524 are those of Cloudflare.
func (e *UpgradeError) isOutage() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return e.Status >= 520 && e.Status <= 524
}

// Error returns the status and what to check.
func (e *UpgradeError) Error() string {
	return fmt.Sprintf("opening the connection: HTTP %d %s: %s", e.Status, http.StatusText(e.Status), e.hint())
}

// hint says what the status means.
func (e *UpgradeError) hint() string {
	switch {
	case e.RedirectTo != "" && e.useTLS:
		return "it redirects to " + e.RedirectTo + ", and redirects are not followed: use wss:// in the address"
	case e.RedirectTo != "":
		return "it redirects to " + e.RedirectTo + ", and redirects are not followed: " +
			"check the host and the path of the address"
	case e.Status == http.StatusTooManyRequests:
		return "a proxy limits how many connections or requests a client may have"
	case e.isOutage():
		return "a proxy answered, and the server behind it did not"
	}
	switch e.Status {
	case http.StatusSwitchingProtocols, http.StatusBadRequest, http.StatusUpgradeRequired:
		return "a proxy probably does not pass the WebSocket upgrade on"
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return "a proxy wants credentials: set them in connection.headers"
	case http.StatusForbidden:
		return "a proxy does not let this client in"
	case http.StatusNotFound:
		return "no WebSocket channel has the path of this address"
	}
	return "is there a WebSocket channel at this address?"
}
