package wsxtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// DemoServices returns the services of the recorded server by name.
func DemoServices() map[string]Service {
	return map[string]Service{
		"my.echo":          Echo,
		"my.sleep":         Sleep,
		"my.fail":          Fail,
		"my.nothing":       Nothing,
		"my.bytes":         Bytes,
		"my.whoami":        WhoAmI,
		"my.disconnect-me": DisconnectMe,
		"my.invoke-back":   InvokeBack,
	}
}

// Echo is a [Service] that returns its request.
func Echo(_ context.Context, inv Invocation) (any, error) {
	return inv.Payload, nil
}

// Sleep is a [Service] that waits for N seconds and returns its request, which is
// {"seconds": N}.
func Sleep(ctx context.Context, inv Invocation) (any, error) {
	var request struct {
		Seconds float64 `json:"seconds"`
	}
	if err := json.Unmarshal(inv.Request, &request); err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	timer := time.NewTimer(time.Duration(request.Seconds * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return request, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Fail is a [Service] that fails, as one that raises an exception does.
func Fail(context.Context, Invocation) (any, error) {
	return nil, errors.New("raised on request")
}

// Nothing is a [Service] that returns nothing.
func Nothing(context.Context, Invocation) (any, error) {
	return nil, nil //nolint:nilnil // a service may return nothing
}

// Bytes is a [Service] that returns a string of N bytes. Its request is {"size": N}.
func Bytes(_ context.Context, inv Invocation) (any, error) {
	var result struct {
		Size int    `json:"size"`
		Data string `json:"data"`
	}
	if err := json.Unmarshal(inv.Request, &result); err != nil || result.Size < 0 {
		return nil, &StatusError{400, "Invalid input"}
	}
	result.Data = strings.Repeat("x", result.Size)
	return result, nil
}

// WhoAmI is a [Service] that returns what the server knows about the caller
// (transcript attrs).
func WhoAmI(_ context.Context, inv Invocation) (any, error) {
	return struct {
		ChannelType    string         `json:"channel_type"`
		PubClientID    string         `json:"pub_client_id"`
		ExtClientID    string         `json:"ext_client_id"`
		ExtClientName  string         `json:"ext_client_name"`
		ClientAttrs    map[string]any `json:"client_attrs"`
		Peer           string         `json:"peer"`
		TokenExpiresAt string         `json:"token_expires_at"`
	}{
		"invoke", inv.PubClientID, inv.ClientID, inv.ClientName, inv.Attributes,
		inv.Peer, isoTime(inv.TokenExpiresAt),
	}, nil
}

// DisconnectMe is a [Service] that closes the caller's connection 0.3 s later, with
// the close code and the reason of its request, {"code": N, "reason": "..."}
// (transcript server-closes).
func DisconnectMe(_ context.Context, inv Invocation) (any, error) {
	request := struct {
		Code   int    `json:"code"`
		Reason string `json:"reason"`
	}{Code: 1000}
	if err := json.Unmarshal(inv.Request, &request); err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	inv.Session.CloseAfter(300*time.Millisecond, request.Code, request.Reason)
	return map[string]bool{"ok": true}, nil
}

// InvokeBack is a [Service] that sends a request to its caller and returns the
// response, which is always null (transcript server-requests).
func InvokeBack(ctx context.Context, inv Invocation) (any, error) {
	var request struct {
		Request json.RawMessage `json:"request"`
		Timeout float64         `json:"timeout"` // seconds
	}
	if err := json.Unmarshal(inv.Request, &request); err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	timeout := time.Duration(request.Timeout * float64(time.Second))
	response, err := inv.Session.Request(ctx, request.Request, timeout)
	if err != nil {
		return nil, err
	}
	return map[string]json.RawMessage{"client_responded_with": response}, nil
}
