package wsxtest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// DemoServices returns the services with which the transcripts were recorded:
// my.echo, my.sleep, my.fail, my.nothing, my.bytes, my.whoami, my.disconnect-me
// and my.invoke-back.
func DemoServices() map[string]Service {
	return map[string]Service{
		"my.echo":          Echo,
		"my.sleep":         sleepService,
		"my.fail":          func(context.Context, Invocation) (any, error) { return nil, errors.New("failed") },
		"my.nothing":       func(context.Context, Invocation) (any, error) { return nil, nil },
		"my.bytes":         bytesService,
		"my.whoami":        whoAmI,
		"my.disconnect-me": disconnectMe,
		"my.invoke-back":   invokeBack,
	}
}

// Echo returns its request.
func Echo(_ context.Context, inv Invocation) (any, error) { return inv.Request, nil }

// sleepService takes {"seconds": N}.
func sleepService(ctx context.Context, inv Invocation) (any, error) {
	var request struct {
		Seconds float64 `json:"seconds"`
	}
	if err := json.Unmarshal(inv.Request, &request); err != nil {
		return nil, err
	}
	timer := time.NewTimer(time.Duration(request.Seconds * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return inv.Request, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bytesService takes {"size": N} and returns as many letters.
func bytesService(_ context.Context, inv Invocation) (any, error) {
	var request struct {
		Size int `json:"size"`
	}
	if err := json.Unmarshal(inv.Request, &request); err != nil {
		return nil, err
	}
	return struct {
		Size int    `json:"size"`
		Data string `json:"data"`
	}{request.Size, strings.Repeat("x", request.Size)}, nil
}

func whoAmI(_ context.Context, inv Invocation) (any, error) {
	return struct {
		ChannelType   string         `json:"channel_type"`
		PubClientID   string         `json:"pub_client_id"`
		ExtClientID   string         `json:"ext_client_id"`
		ExtClientName string         `json:"ext_client_name"`
		ClientAttrs   map[string]any `json:"client_attrs"`
		Peer          string         `json:"peer"`
		TokenExpires  string         `json:"token_expires_at"`
	}{
		"invoke", inv.PubClientID, inv.ClientID, inv.ClientName,
		inv.Attributes, inv.Peer, iso(inv.TokenExpires),
	}, nil
}

// disconnectMe takes {"code": N, "reason": TEXT}.
func disconnectMe(_ context.Context, inv Invocation) (any, error) {
	var request struct {
		Code   int    `json:"code"`
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(inv.Request, &request); err != nil {
		return nil, err
	}
	inv.Session.Disconnect(request.Code, request.Reason)
	return map[string]bool{"ok": true}, nil
}

// invokeBack takes {"request": ANY, "timeout": SECONDS} and calls its caller,
// which cannot be heard: the connection is busy with this very service.
func invokeBack(ctx context.Context, inv Invocation) (any, error) {
	var request struct {
		Request json.RawMessage `json:"request"`
		Timeout float64         `json:"timeout"`
	}
	if err := json.Unmarshal(inv.Request, &request); err != nil {
		return nil, err
	}
	timeout := time.Duration(request.Timeout * float64(time.Second))
	answer, err := inv.Session.Request(ctx, inv.CID, request.Request, timeout)
	if err != nil {
		return nil, err
	}
	return map[string]json.RawMessage{"client_responded_with": answer}, nil
}
