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

// Meta is the "meta" part of a frame from the client. What is empty is left out. ID
// and Time are needed in every frame: without them the server drops it without an
// answer.
type Meta struct {
	Action, ID           string
	Time                 time.Time // in the frame it is UTC, ISO 8601, microseconds, no zone
	ClientID, ClientName string
	Token                string
	Username, Secret     string
	Attrs                string
	InReplyTo            string
}

// Data is the "data" part of a frame from the client. The zero value is none.
type Data struct {
	// JSON is what JSON has made or checked.
	JSON json.RawMessage
	// key is the name of JSON where it is not the whole.
	key string
	// service is what is to be invoked through a gateway.
	service string
}

// Invocation invokes a service through a gateway, with a request where there is one.
func Invocation(service string, request json.RawMessage) Data {
	return Data{JSON: request, key: "request", service: service}
}

// Response answers a frame of the server.
func Response(response json.RawMessage) Data { return Data{JSON: response, key: "response"} }

// ThroughGateway tells whether data is an Invocation.
func (d *Data) ThroughGateway() bool { return d.service != "" }

// ValidJSON is JSON that was found to be valid, so that JSON need not look again.
type ValidJSON struct{ json.RawMessage }

// JSON makes JSON of anything that encoding/json can encode. JSON that is given is only
// looked at. It fails with ErrNotUTF8 on texts that are not UTF-8 and would reach the
// server so.
func JSON(v any) (json.RawMessage, error) {
	switch given := v.(type) {
	case ValidJSON:
		return given.RawMessage, nil
	case json.RawMessage:
		if Valid(given) {
			return given, nil
		}
	}
	out, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding as JSON: %w", err)
	}
	// json.Marshal mends broken strings but copies raw JSON as it is.
	if !utf8.Valid(out) {
		return nil, ErrNotUTF8
	}
	return out, nil
}

// Append appends a frame to out.
func Append(out []byte, meta *Meta, data *Data) []byte {
	out = append(out, `{"meta":{`...)
	out = AppendText(out, "action", meta.Action)
	out = AppendText(out, "id", meta.ID)
	out = append(appendName(out, "timestamp"), '"')
	out = meta.Time.UTC().AppendFormat(out, "2006-01-02T15:04:05.000000")
	out = append(out, '"')
	out = AppendText(out, "client_id", meta.ClientID)
	out = AppendText(out, "client_name", meta.ClientName)
	out = AppendText(out, "token", meta.Token)
	out = AppendText(out, "username", meta.Username)
	out = AppendText(out, "secret", meta.Secret)
	out = AppendText(out, "attrs", meta.Attrs)
	out = AppendText(out, "in_reply_to", meta.InReplyTo)
	out = append(out, '}')
	if data.JSON != nil || data.service != "" {
		out = append(out, `,"data":`...)
		out = data.append(out)
	}
	return append(out, '}')
}

func (d *Data) append(out []byte) []byte {
	if d.key == "" {
		return append(out, d.JSON...)
	}
	out = AppendText(append(out, '{'), "service", d.service)
	if d.JSON != nil {
		out = append(appendName(out, d.key), d.JSON...)
	}
	return append(out, '}')
}
