package wire_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

func TestFramesLookAsRecorded(t *testing.T) {
	meta := wire.Meta{
		Action: wire.ActionInvokeService, ID: "i", Timestamp: "t", ClientID: "c", ClientName: "n", Token: "k",
	}
	raw, err := wire.Encode(meta, wire.Invocation{Service: "s", Request: json.RawMessage(`{"a":1}`)})
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"meta": {"action": "invoke-service", "id": "i", "timestamp": "t", "client_id": "c", "client_name": "n", "token": "k"},
		"data": {"service": "s", "request": {"a": 1}}
	}`, string(raw))
	raw, err = wire.Encode(meta, nil)
	require.NoError(t, err)
	assert.NotContains(t, string(raw), "data")
	_, err = wire.Encode(meta, json.RawMessage("\"\xff\""))
	require.ErrorIs(t, err, wire.ErrNotUTF8)
	_, err = wire.Encode(meta, func() {})
	require.Error(t, err)
}

func TestTimestampsAreUTCWithMicroseconds(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600))
	assert.Equal(t, "2026-01-02T02:04:05.000006", wire.Timestamp(at))
}

func TestOnlyTheExactWrapperIsTakenOff(t *testing.T) {
	for in, out := range map[string]string{
		`{"response": {"zato_gateway_response": [1]}}`:          `[1]`,
		`{"response": {"zato_gateway_response": 1, "more": 2}}`: "",
		`{"response": {"zato_gateway_response": 1}, "more": 2}`: "",
		`{"response": {"sub_key": "k"}}`:                        "",
		`{"response": []}`:                                      "",
		`{"response": 1}`:                                       "",
		`[1]`:                                                   "",
		`"response"`:                                            "",
		``:                                                      "",
		`{"broken`:                                              "",
	} {
		if out == "" {
			out = in
		}
		assert.Equal(t, out, string(wire.Unwrap(json.RawMessage(in))), in)
	}
}

func TestSubKeysAreFoundInAllThreePlaces(t *testing.T) {
	for _, data := range []string{
		`{"response": {"zato_gateway_response": {"sub_key": "k"}}}`, `{"response": {"sub_key": "k"}}`, `{"sub_key": "k"}`,
	} {
		key, err := wire.SubKey(json.RawMessage(data))
		require.NoError(t, err)
		assert.Equal(t, "k", key)
	}
	for _, data := range []string{`{}`, `[]`, `{"response": {"zato_gateway_response": ""}}`} {
		_, err := wire.SubKey(json.RawMessage(data))
		require.Error(t, err)
	}
}

func TestPartsThatAreNotThereAreEmpty(t *testing.T) {
	assert.Empty(t, wire.ErrorCID(json.RawMessage(`[]`)))
	assert.Empty(t, wire.Text(json.RawMessage(`{}`)))
	frame, err := wire.Decode([]byte(`{"meta": {"msg_type": "zwsx.psrq"}}`))
	require.NoError(t, err)
	assert.Empty(t, frame.Messages)
	content, err := wire.Content(nil)
	require.NoError(t, err)
	assert.Empty(t, content)
}
