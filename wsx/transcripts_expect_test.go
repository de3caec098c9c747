package wsx_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

// expectClose checks that the client sends a close frame, or answers the one of the server
// if the recorded server sent it first.
func (r *replay) expectClose(e *transcript.Event) {
	details, err := e.Details()
	require.NoError(r.t, err)
	message := websocket.FormatCloseMessage(details.Code, details.Reason)
	if r.closeResult == nil {
		require.NoError(r.t, r.conn.WriteMessage(websocket.CloseMessage, message))
	}
	r.hungUp = r.closeResult == nil
	err = <-r.readErr
	var closed *websocket.CloseError
	require.ErrorAs(r.t, err, &closed)
	if r.closeResult != nil {
		// Some recorded clients changed their name after the login.
		reason := fmt.Sprintf("Client disconnecting id:'%s' name:'%s'", r.config.ClientID, r.config.ClientName)
		assert.Equal(r.t, websocket.CloseError{Code: details.Code, Text: reason}, *closed)
		require.NoError(r.t, r.conn.WriteMessage(websocket.CloseMessage, message))
		return
	}
	synctest.Wait()
	assert.False(r.t, r.client.Connected())
}

// expectFrame checks that the client handled a frame of the server and passed it on.
func (r *replay) expectFrame(raw []byte) {
	var f serverFrame
	require.NoError(r.t, json.Unmarshal(raw, &f))
	switch {
	case f.Meta.MsgType == "zwsx.rspa":
		assert.True(r.t, r.client.Connected())
	case f.Meta.MsgType == "zwsx.rqc":
		r.requests[f.Meta.ID] = true
	case f.Meta.MsgType == "zwsx.psrq":
		r.expectMessages(f.Data)
	case f.Meta.MsgType == "zwsx.merr":
		assert.False(r.t, r.client.Connected())
	case f.Meta.InReplyTo == "<no-msg-id>":
		assert.True(r.t, r.client.Connected(), "the frame answers no call")
	case f.Meta.MsgType == "zwsx.rspok":
		got := r.resultOf(&f)
		if assert.NoError(r.t, got.err) {
			assert.Equal(r.t, f.Meta.Status, got.resp.Status)
			assert.Equal(r.t, unwrapped(r.t, f.Data), compact(r.t, got.resp.Data))
		}
	case f.Meta.MsgType == "zwsx.rsperr":
		got := r.resultOf(&f)
		var refused *wsx.ServerError
		if assert.ErrorAs(r.t, got.err, &refused) {
			assert.Equal(r.t, wsx.ServerError{Status: f.Meta.Status, Text: f.Meta.Error, CID: f.Meta.ID}, *refused)
		}
	}
}

// resultOf returns the result of the call that a frame answers. If several calls are
// pending, it knows the result of the latest only and returns the recorded one for others.
func (r *replay) resultOf(f *serverFrame) callResult {
	select {
	case got := <-r.result:
		return got
	default:
	}
	if f.Meta.MsgType == "zwsx.rspok" && len(r.liveIDs) > 2 {
		return callResult{resp: &wsx.Response{Status: f.Meta.Status, Data: json.RawMessage(unwrapped(r.t, f.Data))}}
	}
	return callResult{err: errors.New("the caller got nothing")}
}

// expectMessages checks that Receive returns the recorded messages.
func (r *replay) expectMessages(data json.RawMessage) {
	type message struct {
		Data  json.RawMessage `json:"data"`
		MsgID string          `json:"msg_id"`
		Topic string          `json:"topic_name"`
	}
	var expected []message
	if json.Unmarshal(data, &expected) != nil {
		expected = make([]message, 1)
		require.NoError(r.t, json.Unmarshal(data, &expected[0]))
	}
	frame, err := r.client.Receive(r.t.Context())
	require.NoError(r.t, err)
	require.Len(r.t, frame.Messages, len(expected))
	for i, m := range frame.Messages {
		assert.Equal(r.t, expected[i].MsgID, m.MsgID)
		assert.Equal(r.t, expected[i].Topic, m.Topic)
		var text string
		if json.Unmarshal(expected[i].Data, &text) == nil {
			assert.Equal(r.t, text, string(m.Data))
		} else {
			assert.JSONEq(r.t, string(expected[i].Data), string(m.Data))
		}
	}
}

// unwrapped returns the recorded answer without the wrapper of the gateway.
func unwrapped(t *testing.T, data json.RawMessage) string {
	t.Helper()
	var wrapped struct {
		Response *struct {
			Answer json.RawMessage `json:"zato_gateway_response"`
		} `json:"response"`
	}
	if json.Unmarshal(data, &wrapped) == nil && wrapped.Response != nil && wrapped.Response.Answer != nil {
		return compact(t, wrapped.Response.Answer)
	}
	return compact(t, data)
}

// compact returns JSON without white space and with sorted keys.
func compact(t *testing.T, data json.RawMessage) string {
	t.Helper()
	if len(data) == 0 {
		return ""
	}
	var v any
	require.NoError(t, json.Unmarshal(data, &v))
	out, err := json.Marshal(v)
	require.NoError(t, err)
	return string(out)
}
