package check

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/zato-connect/zato-connect/wsx"
)

// recognizeZato4 corrects the result of a refused upgrade if the server is a Zato 4.
func recognizeZato4(ctx context.Context, cfg *wsx.Config, err error, results []Result) {
	var refused *wsx.UpgradeError
	if !errors.As(err, &refused) || !isZato4(ctx, cfg) {
		return
	}
	for i := range results {
		if results[i].Check == stepUpgrade {
			results[i].Detail = "this is Zato 4, which has no WebSocket channels"
			results[i].Remedy = "use the pipelines in examples/zato-4, as docs/zato-4.md describes"
		}
	}
}

// isZato4 reports whether a server has the REST interface for pub/sub that only Zato 4 has.
// It asks for messages without credentials, so the server refuses and changes nothing.
func isZato4(ctx context.Context, cfg *wsx.Config) bool {
	address, err := url.Parse(cfg.Address)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	probe := url.URL{
		Scheme: strings.Replace(address.Scheme, "ws", "http", 1), Host: address.Host, Path: "/pubsub/messages/get",
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, probe.String(), http.NoBody)
	if err != nil {
		return false
	}
	transport := &http.Transport{DialContext: cfg.Dial, TLSClientConfig: tlsConfig(cfg), DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false
	}
	defer response.Body.Close() //nolint:errcheck // read only
	var answer struct {
		OK      *bool  `json:"is_ok"`
		Details string `json:"details"`
	}
	err = json.NewDecoder(io.LimitReader(response.Body, 1<<10)).Decode(&answer)
	return err == nil && response.StatusCode == http.StatusUnauthorized && answer.OK != nil && !*answer.OK
}

// tlsConfig returns the TLS configuration of a client, or nil if it has none.
func tlsConfig(cfg *wsx.Config) *tls.Config {
	if cfg.TLSFunc == nil {
		return cfg.TLS
	}
	conf, err := cfg.TLSFunc()
	if err != nil {
		return nil
	}
	return conf
}
