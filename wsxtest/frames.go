package wsxtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Actions of a client's frame. The server treats any other action as
// invoke-service, and a missing one as client-response (transcript bad-frames).
const (
	actionCreateSession  = "create-session"
	actionClientResponse = "client-response"
)

// Types of a server's frame.
const (
	typeSession   = "zwsx.rspa"
	typeOK        = "zwsx.rspok"
	typeError     = "zwsx.rsperr"
	typeForbidden = "zwsx.merr"
	typeRequest   = "zwsx.rqc"
	typeMessages  = "zwsx.psrq"
)

type serverMeta struct {
	ID           string `json:"id"`
	Timestamp    string `json:"timestamp"`
	MsgType      string `json:"msg_type"`
	Status       int    `json:"status,omitempty"`
	InReplyTo    string `json:"in_reply_to,omitempty"`
	ErrorMessage string `json:"error_message,omitempty"`
}

type serverFrame struct {
	Meta serverMeta      `json:"meta"`
	Data json.RawMessage `json:"data,omitempty"`
}

func newMeta(id, msgType string) serverMeta {
	return serverMeta{ID: id, Timestamp: isoTime(time.Now()), MsgType: msgType}
}

// errDropped is the error for a frame that gets no response.
var errDropped = errors.New("the frame is dropped")

// clientFrame is a parsed frame of a client.
type clientFrame struct {
	action    string
	id        string
	token     string
	inReplyTo string
	// meta holds all fields, because a login has more of them.
	meta map[string]json.RawMessage
	data json.RawMessage // nil if absent
}

// parseFrame parses a client's frame. It returns errDropped if the frame is not a
// JSON object or its meta has no id or timestamp. A frame without a meta is valid
// here and rejected later because it has no token (transcript bad-frames).
func parseFrame(payload []byte) (clientFrame, error) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(payload, &top); err != nil || top == nil {
		return clientFrame{}, errDropped
	}
	f := clientFrame{data: top["data"]}
	if isFalsy(top["meta"]) {
		return f, nil
	}
	if err := json.Unmarshal(top["meta"], &f.meta); err != nil {
		return f, fmt.Errorf("%w: %w", errDropped, err)
	}
	f.id = stringOf(f.meta["id"])
	if f.id == "" || stringOf(f.meta["timestamp"]) == "" {
		return f, errDropped
	}
	f.action = actionClientResponse
	if action, exists := f.meta["action"]; exists {
		f.action = stringOf(action)
	}
	f.token = stringOf(f.meta["token"])
	f.inReplyTo = stringOf(f.meta["in_reply_to"])
	return f, nil
}

// stringOf returns the value of a JSON string, "" for null or no JSON, and the JSON
// itself for any other value.
func stringOf(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}
