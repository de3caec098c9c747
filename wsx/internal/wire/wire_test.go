package wire_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

func TestAppendWritesTheFrameFormat(t *testing.T) {
	meta := wire.Meta{
		Action: wire.ActionInvokeService, ID: "i", Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600)),
		ClientID: "c", ClientName: "n \"é\"", Token: "k",
	}
	frame := func(data wire.Data) string { return string(wire.Append(nil, &meta, &data)) }
	const start = `{"meta": {"action": "invoke-service", "id": "i", "timestamp": "2026-01-02T02:04:05.000006",
		"client_id": "c", "client_name": "n \"é\"", "token": "k"}`
	request := json.RawMessage(`{"a": 1}`)
	for data, end := range map[*wire.Data]string{
		{}:                                 `}`,
		{JSON: request}:                    `, "data": {"a": 1}}`,
		new(wire.Invocation("s\\\n", nil)): `, "data": {"service": "s\\\n"}}`,
		new(wire.Invocation("s", request)): `, "data": {"service": "s", "request": {"a": 1}}}`,
		new(wire.Response(request)):        `, "data": {"response": {"a": 1}}}`,
	} {
		assert.JSONEq(t, start+end, frame(*data))
	}
}

func TestAppendedFieldsAreValidJSON(t *testing.T) {
	var ascii []byte
	for c := range byte(128) {
		ascii = append(ascii, c)
	}
	long := strings.Repeat("plain and long ", 50)
	for _, text := range []string{
		"plain", `"`, `\`, string(ascii), "é \u2028 \U0001F600", long,
		long + `"` + long + "\x00", long + "\xff\n", "\xed\xa0\x80",
	} {
		for _, start := range []string{`{`, `{"first":1`} {
			out := append(wire.AppendText([]byte(start), "text", text), '}')
			read := map[string]any{}
			require.NoError(t, json.Unmarshal(out, &read), "%q", out)
			assert.Equal(t, string([]rune(text)), read["text"])
			assert.True(t, utf8.Valid(out))
		}
	}
	yes := true
	out := wire.AppendNumber(wire.AppendBool([]byte(`{`), "bool", &yes), "number", -12)
	out = wire.AppendNumber(wire.AppendBool(wire.AppendText(out, "none", ""), "none", nil), "none", 0)
	assert.JSONEq(t, `{"bool": true, "number": -12}`, string(out)+"}")
}

func TestJSONIsValidUTF8(t *testing.T) {
	for _, given := range []string{
		`{"a": [1.50, 12345678901234567890, "<é\u00e9>"]}`, ` 1 `, strings.Repeat("[", 2000) + strings.Repeat("]", 2000),
	} {
		out, err := wire.JSON(json.RawMessage(given))
		require.NoError(t, err)
		assert.Equal(t, strings.TrimSpace(given), strings.TrimSpace(string(out)), "valid JSON must not change")
	}
	checked := wire.ValidJSON{RawMessage: json.RawMessage(`{"a": 1}`)}
	out, err := wire.JSON(checked)
	require.NoError(t, err)
	assert.Equal(t, checked.RawMessage, out)
	out, err = wire.JSON([]any{checked, "b"})
	require.NoError(t, err)
	assert.JSONEq(t, `[{"a": 1}, "b"]`, string(out))
	out, err = wire.JSON(map[string]any{"a": 1})
	require.NoError(t, err)
	assert.JSONEq(t, `{"a": 1}`, string(out))
	_, err = wire.JSON(json.RawMessage("\"\xff\""))
	require.ErrorIs(t, err, wire.ErrNotUTF8)
	for _, broken := range []any{json.RawMessage(`{"a": }`), json.RawMessage(``), json.RawMessage(`1 2`), func() {}} {
		_, err = wire.JSON(broken)
		require.Error(t, err, "%v", broken)
	}
}

func TestUnwrapRemovesOnlyTheExactGatewayWrapper(t *testing.T) {
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

func TestSubKeyIsFoundInAllThreePlaces(t *testing.T) {
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

func TestMissingPartsAreEmpty(t *testing.T) {
	assert.Empty(t, wire.ErrorCID(json.RawMessage(`[]`)))
	assert.Empty(t, wire.Text(json.RawMessage(`{}`)))
	frame, err := wire.DecodeAll([]byte(`{"meta": {"msg_type": "zwsx.psrq"}}`), true)
	require.NoError(t, err)
	assert.Empty(t, frame.Messages)
	content, err := wire.Content(nil)
	require.NoError(t, err)
	assert.Empty(t, content)
}
