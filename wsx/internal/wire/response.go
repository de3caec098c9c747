package wire

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Message types of the frames that the server sends (docs/protocol.md, "Frames").
const (
	TypeSession  = "zwsx.rspa"   // a session was created
	TypeOK       = "zwsx.rspok"  // a response
	TypeError    = "zwsx.rsperr" // a request failed
	TypeRefused  = "zwsx.merr"   // an error that names no request; the connection ends
	TypeRequest  = "zwsx.rqc"    // a request from the server
	TypeMessages = "zwsx.psrq"   // messages of a topic
)

// Frame is a frame from the server, without its messages. Data is nil for a frame of
// messages, and if the server left the data out, as it does for every value that is false
// in Python.
type Frame struct {
	Meta struct {
		ID           string `json:"id"`
		MsgType      string `json:"msg_type"`
		Status       int    `json:"status"`
		InReplyTo    string `json:"in_reply_to"`
		ErrorMessage string `json:"error_message"`
	} `json:"meta"`
	Data json.RawMessage `json:"data"`
}

// Decode decodes a frame from the server. It calls fill to convert each message to the
// caller's type. fill must not keep its second argument.
//
// If aliasInput is true, the data of messages may point into raw, and the caller must not
// change raw any longer. Otherwise the result does not refer to raw.
func Decode[M any](raw []byte, aliasInput bool, fill func(*M, *Message)) (Frame, []M, error) {
	d := frameDecoders.Get().(*frameDecoder) //nolint:forcetypeassert // the pool holds nothing else
	defer frameDecoders.Put(d)
	c := collectorOf[M](d)
	c.fill = fill
	if f, ok := d.decode(raw, aliasInput, c.emit); ok {
		return f, c.finish(), nil
	}
	c.finish() // drop the messages before the place where decoding stopped
	f, messages, err := decodeJSON(raw)
	for i := range messages {
		c.append(&messages[i], len(messages)-i-1)
	}
	return f, c.finish(), err
}

// decodeJSON decodes any frame with encoding/json.
func decodeJSON(raw []byte) (f Frame, messages []Message, err error) {
	if err := json.Unmarshal(raw, &f); err != nil {
		return Frame{}, nil, fmt.Errorf("decoding a frame: %w", err)
	}
	if f.Meta.MsgType == "" {
		return Frame{}, nil, errors.New("decoding a frame: meta.msg_type is missing")
	}
	if f.Meta.MsgType == TypeMessages {
		messages, err = decodeMessagesJSON(f.Data)
		f.Data = nil
	}
	return f, messages, err
}

// Type returns the message type of a frame without decoding its data. Frames from a server
// begin with their meta. Type returns "" for any other frame.
func Type(raw []byte) string {
	d := frameDecoder{scanner: scanner{text: raw}}
	if !d.openKey("meta") || !d.readObject(d.readMetaField) {
		return ""
	}
	return d.frame.Meta.MsgType
}

// Token returns the token in the data of a session frame.
func Token(data json.RawMessage) (string, error) {
	var d struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return "", fmt.Errorf("reading data.token: %w", err)
	}
	if d.Token == "" {
		return "", errors.New("reading data.token: it is empty")
	}
	return d.Token, nil
}

// ErrorCID returns the server's correlation id in the data of an error frame. It is empty
// if there is none.
func ErrorCID(data json.RawMessage) string {
	var d struct {
		CID string `json:"cid"`
	}
	if json.Unmarshal(data, &d) != nil {
		return ""
	}
	return d.CID
}

// Text returns the text of a TypeRefused frame, whose data is a JSON string. It is empty if
// the data is not a string.
func Text(data json.RawMessage) string {
	var s string
	if json.Unmarshal(data, &s) != nil {
		return ""
	}
	return s
}

// Unwrap returns a service's answer without the gateway's wrapper, which is exactly
// {"response": {"zato_gateway_response": ANY}}. It returns data of any other shape
// unchanged: Zato 3.0 and 3.1 and channels of a single service do not wrap answers
// (docs/protocol.md, "Invoking services").
func Unwrap(data json.RawMessage) json.RawMessage {
	s := scanner{text: data}
	if !s.openKey("response") || !s.openKey("zato_gateway_response") {
		return data
	}
	answer, ok := s.readValue()
	if !ok || !s.accept('}') || !s.accept('}') || !s.atEnd() {
		return data
	}
	return answer
}

// SubKey returns the key of a subscription from the data of an answer. Depending on the
// service and the version of the server, the key is in data.response.zato_gateway_response,
// in data.response or in data.
func SubKey(data json.RawMessage) (string, error) {
	type keyed struct {
		SubKey string `json:"sub_key"`
	}
	var d struct {
		keyed

		Response struct {
			keyed

			Gateway keyed `json:"zato_gateway_response"`
		} `json:"response"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return "", fmt.Errorf("the answer has no sub_key: %w", ErrNoGateway)
	}
	for _, k := range []string{d.Response.Gateway.SubKey, d.Response.SubKey, d.SubKey} {
		if k != "" {
			return k, nil
		}
	}
	return "", fmt.Errorf("the answer has no sub_key: %w", ErrNoGateway)
}

// ErrNoGateway means that an answer does not come from the service that was called. So the
// channel is mounted on a service that is not a gateway, and that service answered.
var ErrNoGateway = errors.New("the channel is not mounted on a gateway: mount it on one")

// MsgID returns the id of a message from the answer to its publication. It is empty if
// Zato dropped the message. The error is ErrNoGateway if the answer has no msg_id.
func MsgID(data json.RawMessage) (string, error) {
	s := scanner{text: data}
	var id []byte
	canonical := s.readObject(func(key []byte) bool {
		value, ok := s.readValue()
		if string(key) == "msg_id" {
			id = value
		}
		return ok && canonicalName(key)
	})
	if canonical && len(id) > 2 && id[0] == '"' && plainPrefix(id[1:]) == len(id)-2 {
		return string(id[1 : len(id)-1]), nil
	}
	var d struct {
		MsgID json.RawMessage `json:"msg_id"`
	}
	var text string
	if json.Unmarshal(data, &d) != nil || d.MsgID == nil || json.Unmarshal(d.MsgID, &text) != nil {
		return "", fmt.Errorf("the answer has no msg_id: %w", ErrNoGateway)
	}
	return text, nil
}
