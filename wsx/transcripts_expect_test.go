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

// checkClose reads the client's close frame, which it sent first or answers with.
func (s *stage) checkClose(e *transcript.Event) {
	details, err := e.Details()
	require.NoError(s.t, err)
	message := websocket.FormatCloseMessage(details.Code, details.Reason)
	if s.goodbye == nil {
		require.NoError(s.t, s.peer.WriteMessage(websocket.CloseMessage, message))
	}
	err = <-s.ended
	var closed *websocket.CloseError
	require.ErrorAs(s.t, err, &closed)
	if s.goodbye != nil {
		// A recorded client may have called itself otherwise than at its login.
		reason := fmt.Sprintf("Client disconnecting id:'%s' name:'%s'", s.config.ClientID, s.config.ClientName)
		assert.Equal(s.t, websocket.CloseError{Code: details.Code, Text: reason}, *closed)
		require.NoError(s.t, s.peer.WriteMessage(websocket.CloseMessage, message))
		return
	}
	synctest.Wait()
	assert.False(s.t, s.client.Connected())
}

// check compares what the client's caller got with the frame.
func (s *stage) check(raw []byte) {
	var f serverFrame
	require.NoError(s.t, json.Unmarshal(raw, &f))
	switch {
	case f.Meta.MsgType == "zwsx.rspa":
		assert.True(s.t, s.client.Connected())
	case f.Meta.MsgType == "zwsx.psrq":
		s.checkMessages(f.Data)
	case f.Meta.MsgType == "zwsx.merr":
		assert.False(s.t, s.client.Connected())
	case f.Meta.InReplyTo == "<no-msg-id>":
		assert.True(s.t, s.client.Connected(), "nobody waits for it")
	case f.Meta.MsgType == "zwsx.rspok":
		got := s.outcome(&f)
		if assert.NoError(s.t, got.err) {
			assert.Equal(s.t, f.Meta.Status, got.resp.Status)
			assert.Equal(s.t, unwrapped(s.t, f.Data), compact(s.t, got.resp.Data))
		}
	case f.Meta.MsgType == "zwsx.rsperr":
		got := s.outcome(&f)
		var refused *wsx.ServerError
		if assert.ErrorAs(s.t, got.err, &refused) {
			assert.Equal(s.t, wsx.ServerError{Status: f.Meta.Status, Text: f.Meta.Error, CID: f.Meta.ID}, *refused)
		}
	}
}

// outcome is what the caller of the answered call got; of two calls at once the
// later is looked at.
func (s *stage) outcome(f *serverFrame) outcome {
	select {
	case got := <-s.result:
		return got
	default:
	}
	if f.Meta.MsgType == "zwsx.rspok" && len(s.live) > 2 {
		return outcome{resp: &wsx.Response{Status: f.Meta.Status, Data: json.RawMessage(unwrapped(s.t, f.Data))}}
	}
	return outcome{err: errors.New("the caller got nothing")}
}

func (s *stage) checkMessages(data json.RawMessage) {
	type message struct {
		Data  any    `json:"data"`
		MsgID string `json:"msg_id"`
		Topic string `json:"topic_name"`
	}
	var list []message
	if json.Unmarshal(data, &list) != nil {
		list = make([]message, 1)
		require.NoError(s.t, json.Unmarshal(data, &list[0]))
	}
	frame, err := s.client.Receive(s.t.Context())
	require.NoError(s.t, err)
	require.Len(s.t, frame.Messages, len(list))
	for i, m := range frame.Messages {
		got := message{string(m.Data), m.MsgID, m.Topic}
		assert.Equal(s.t, list[i], got)
	}
}

// unwrapped is the recorded answer, out of the wrapper if it has it.
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
