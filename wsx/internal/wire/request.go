// Package wire encodes and decodes the JSON frames of Zato's WebSocket channels. It does no
// I/O and knows nothing about connections.
//
// Frames with hundreds of messages are common, so decoding is written for speed. A scanner
// moves over the JSON. A frameDecoder decodes a frame with it in one pass. A template of
// the last message lets the decoder skip what has not changed. Frames that these do not
// support are left to encoding/json, which is slower and gives the same result.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Actions of the frames that a client sends. The server takes any other action as
// invoke-service, and a frame without one as client-response, which it does not answer
// (docs/protocol.md, "Frames").
const (
	ActionCreateSession  = "create-session"
	ActionInvokeService  = "invoke-service"
	ActionClientResponse = "client-response"
)

// ErrNotUTF8 is returned for data that is not valid UTF-8. The server answers a frame with
// such data with an error that names no request, so the client never sends one
// (docs/protocol.md, "Invoking services").
var ErrNotUTF8 = errors.New("not valid UTF-8")

// Meta is the "meta" part of a frame from the client. Empty fields are left out. Every
// frame needs an ID and a Time: the server drops a frame without them and does not answer.
type Meta struct {
	Action, ID           string
	Time                 time.Time // written in UTC as ISO 8601, with microseconds and no zone
	ClientID, ClientName string
	Token                string
	Username, Secret     string
	Attrs                string
	InReplyTo            string
}

// Data is the "data" part of a frame from the client. The zero value stands for a frame
// without data.
type Data struct {
	// JSON must be valid JSON in UTF-8, which the function JSON returns. Append does not
	// check it.
	JSON json.RawMessage
	// key is the field of data that JSON goes into. If it is empty, JSON is all of the
	// data.
	key string
	// service is the service that a gateway is to invoke.
	service string
}

// Invocation returns the data of a frame that invokes a service through a gateway. The
// request may be nil.
func Invocation(service string, request json.RawMessage) Data {
	return Data{JSON: request, key: "request", service: service}
}

// Response returns the data of a frame that answers a request from the server.
func Response(response json.RawMessage) Data { return Data{JSON: response, key: "response"} }

// ThroughGateway reports whether d was made by Invocation.
func (d *Data) ThroughGateway() bool { return d.service != "" }

// ValidJSON is JSON that is known to be valid, so that the function JSON need not check it.
type ValidJSON struct{ json.RawMessage }

// JSON encodes v with encoding/json. It checks a json.RawMessage and returns it without a
// copy. It returns a ValidJSON without a check. It fails with ErrNotUTF8 if the result would
// contain bytes that are not UTF-8.
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
	// json.Marshal replaces invalid bytes in strings but copies raw JSON unchanged.
	if !utf8.Valid(out) {
		return nil, ErrNotUTF8
	}
	return out, nil
}

// Append appends a frame to out and returns the extended buffer.
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
