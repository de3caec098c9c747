package wire

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Message types of the server (docs/protocol.md, "Frames").
const (
	TypeSession  = "zwsx.rspa"   // a session was created
	TypeOK       = "zwsx.rspok"  // a response
	TypeError    = "zwsx.rsperr" // a request failed
	TypeRefused  = "zwsx.merr"   // a refusal that names no request; the connection ends
	TypeRequest  = "zwsx.rqc"    // a request from the server
	TypeMessages = "zwsx.psrq"   // messages of a topic
)

// Frame is one frame from the server. Data is nil when the server left it out,
// which it does for everything that Python takes as false, and nil for messages.
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

// Decode reads one frame from the server. Messages are made by fill, which must not keep
// what it is given. The result keeps no reference to raw, unless it owns it: then the
// data of messages may be a part of it.
func Decode[M any](raw []byte, owned bool, fill func(*M, *Message)) (Frame, []M, error) {
	s := frameDecoders.Get().(*frameDecoder) //nolint:forcetypeassert // nothing else is in there
	defer frameDecoders.Put(s)
	l := collectorOf[M](s)
	l.fill = fill
	if f, ok := s.decode(raw, owned, l.emit); ok {
		return f, l.finish(), nil
	}
	l.finish() // the messages of a frame that was not split to its end
	f, messages, err := decode(raw)
	for i := range messages {
		l.add(&messages[i], len(messages)-i-1)
	}
	return f, l.finish(), err
}

// decode is Decode for every frame, and slow.
func decode(raw []byte) (f Frame, messages []Message, err error) {
	if err := json.Unmarshal(raw, &f); err != nil {
		return Frame{}, nil, fmt.Errorf("decoding a frame: %w", err)
	}
	if f.Meta.MsgType == "" {
		return Frame{}, nil, errors.New("decoding a frame: meta.msg_type is missing")
	}
	if f.Meta.MsgType == TypeMessages {
		messages, err = decodeMessages(f.Data)
		f.Data = nil
	}
	return f, messages, err
}

// Type returns the type of a frame that begins with its meta, as all do that servers
// send, and "" for another.
func Type(raw []byte) string {
	s := frameDecoder{scanner: scanner{text: raw}}
	if !s.openKey("meta") || !s.object(s.meta) {
		return ""
	}
	return s.frame.Meta.MsgType
}

// Token takes the token from the data of a session frame.
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

// ErrorCID takes the server's correlation id from the data of an error frame.
// It is empty when there is none.
func ErrorCID(data json.RawMessage) string {
	var d struct {
		CID string `json:"cid"`
	}
	if json.Unmarshal(data, &d) != nil {
		return ""
	}
	return d.CID
}

// Text takes the text of a refusal, whose data is a JSON string.
func Text(data json.RawMessage) string {
	var s string
	if json.Unmarshal(data, &s) != nil {
		return ""
	}
	return s
}

// Unwrap takes a service's answer out of the gateway's wrapper, which is
// exactly {"response": {"zato_gateway_response": ANY}}. Any other shape is
// returned as it is: Zato 3.0 and 3.1 and single-service channels wrap nothing
// (docs/protocol.md, "Invoking services").
func Unwrap(data json.RawMessage) json.RawMessage {
	s := scanner{text: data}
	if !s.openKey("response") || !s.openKey("zato_gateway_response") {
		return data
	}
	answer, ok := s.any()
	if !ok || !s.accept('}') || !s.accept('}') || !s.end() {
		return data
	}
	return answer
}

// SubKey finds the key of a subscription in an answer. It may be in
// data.response.zato_gateway_response, in data.response or in data, depending
// on the service and the server's version.
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
		return "", fmt.Errorf("reading sub_key: %w", err)
	}
	for _, k := range []string{d.Response.Gateway.SubKey, d.Response.SubKey, d.SubKey} {
		if k != "" {
			return k, nil
		}
	}
	return "", errors.New("reading sub_key: the answer has none")
}

// MsgID takes the id of a message from the answer to its publication. It is empty when
// there is none.
func MsgID(data json.RawMessage) (string, error) {
	s := scanner{text: data}
	var id []byte
	usual := s.object(func(name []byte) bool {
		value, ok := s.any()
		if string(name) == "msg_id" {
			id = value
		}
		return ok && unknownField(name)
	})
	if usual && id == nil {
		return "", nil
	}
	if usual && len(id) > 2 && id[0] == '"' && plainPrefix(id[1:]) == len(id)-2 {
		return string(id[1 : len(id)-1]), nil
	}
	var d struct {
		MsgID string `json:"msg_id"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return "", fmt.Errorf("reading msg_id: %w", err)
	}
	return d.MsgID, nil
}
