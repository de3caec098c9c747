// Package wire encodes and decodes the JSON frames of Zato's WebSocket
// channels. It does no I/O and knows nothing of connections.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Actions that a client may name in a frame. Any other is taken as
// invoke-service by the server, and none at all as client-response, without an
// answer (docs/protocol.md, "Frames").
const (
	ActionCreateSession  = "create-session"
	ActionInvokeService  = "invoke-service"
	ActionClientResponse = "client-response"
)

// ErrNotUTF8 says that a frame would hold bytes that are not UTF-8. The server
// answers such a frame with an error that names no request, so it is never
// sent (docs/protocol.md, "Invoking services").
var ErrNotUTF8 = errors.New("not valid UTF-8")

// Meta is the "meta" part of a frame from the client. ID and Timestamp are
// needed in every frame: without them the server drops it without an answer.
type Meta struct {
	Action     string `json:"action"`
	ID         string `json:"id"`
	Timestamp  string `json:"timestamp"`
	ClientID   string `json:"client_id"`
	ClientName string `json:"client_name,omitempty"`
	Token      string `json:"token,omitempty"`
	Username   string `json:"username,omitempty"`
	Secret     string `json:"secret,omitempty"`
	Attrs      string `json:"attrs,omitempty"`
	InReplyTo  string `json:"in_reply_to,omitempty"`
}

// Invocation is the "data" of an invoke-service frame to a channel that is
// mounted on a gateway.
type Invocation struct {
	Service string          `json:"service"`
	Request json.RawMessage `json:"request,omitempty"`
}

// Answer is the "data" of a client-response frame.
type Answer struct {
	Response any `json:"response"`
}

// frame is a whole frame from the client. Data is left out when it is nil.
type frame struct {
	Meta Meta `json:"meta"`
	Data any  `json:"data,omitempty"`
}

// Timestamp formats a time as the server expects it: UTC, ISO 8601,
// microseconds, no zone.
func Timestamp(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000000")
}

// Encode makes the bytes of one frame. It fails on data that cannot be JSON
// and with ErrNotUTF8 on text that is not UTF-8.
func Encode(meta Meta, data any) ([]byte, error) {
	out, err := json.Marshal(frame{Meta: meta, Data: data})
	if err != nil {
		return nil, fmt.Errorf("encoding as JSON: %w", err)
	}
	// json.Marshal mends broken strings but copies raw JSON as it is.
	if !utf8.Valid(out) {
		return nil, ErrNotUTF8
	}
	return out, nil
}
