package wsxtest

import (
	"encoding/json"
	"net/http"
	"time"
)

// Texts that the server says.
const (
	textUnauthorized = "You are not authorized to access this resource"
	textForbidden    = "You are not allowed to access this resource"
	textInternal     = "Internal server error"
	textBadUTF8      = "Invalid UTF-8 bytes"
)

// Types of the server's frames.
const (
	typeSession  = "zwsx.rspa"
	typeOK       = "zwsx.rspok"
	typeError    = "zwsx.rsperr"
	typeRefused  = "zwsx.merr"
	typeRequest  = "zwsx.rqc"
	typeMessages = "zwsx.psrq"
)

// serverMeta is the meta of a frame from the server, in the server's order.
type serverMeta struct {
	ID        string `json:"id"`
	Timestamp string `json:"timestamp"`
	MsgType   string `json:"msg_type"`
	Status    int    `json:"status,omitempty"`
	InReplyTo string `json:"in_reply_to,omitempty"`
	Error     string `json:"error_message,omitempty"`
}

// serverFrame leaves data out where Python takes it as false.
type serverFrame struct {
	Meta serverMeta `json:"meta"`
	Data any        `json:"data,omitempty"`
}

// clientFrame is a frame from the client, its parts as loose as a client may
// make them.
type clientFrame struct {
	Meta struct {
		Action     string          `json:"action"`
		ID         string          `json:"id"`
		Timestamp  string          `json:"timestamp"`
		Token      string          `json:"token"`
		ClientID   string          `json:"client_id"`
		ClientName json.RawMessage `json:"client_name"`
		Username   string          `json:"username"`
		Secret     *string         `json:"secret"`
		Attrs      json.RawMessage `json:"attrs"`
		InReplyTo  string          `json:"in_reply_to"`
	} `json:"meta"`
	Data json.RawMessage `json:"data"`
}

func newMeta(id, msgType string) serverMeta {
	return serverMeta{ID: id, Timestamp: iso(time.Now()), MsgType: msgType}
}

// okFrame answers a request. Data that is false is left out.
func okFrame(id, inReplyTo string, data json.RawMessage) serverFrame {
	f := serverFrame{Meta: newMeta(id, typeOK)}
	f.Meta.Status, f.Meta.InReplyTo = http.StatusOK, inReplyTo
	if !isFalse(data) {
		f.Data = data
	}
	return f
}

// errorFrame answers a request that failed. Its id is the cid.
func errorFrame(id, inReplyTo string, failure StatusError) serverFrame {
	f := serverFrame{Meta: newMeta(id, typeError), Data: map[string]string{"cid": id}}
	f.Meta.Status, f.Meta.InReplyTo, f.Meta.Error = failure.Status, inReplyTo, failure.Message
	return f
}

// refusalFrame names no request (bad-credentials, bad-token).
func refusalFrame() serverFrame {
	f := serverFrame{Meta: newMeta(newID(""), typeRefused), Data: textUnauthorized}
	f.Meta.Status = http.StatusForbidden
	return f
}
