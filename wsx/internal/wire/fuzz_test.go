package wire_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

// recordedFrames returns the text frames that a real server sent.
func recordedFrames(tb testing.TB) [][]byte {
	tb.Helper()
	all, err := transcript.LoadAll("../../../wsxtest/testdata/transcripts")
	require.NoError(tb, err)
	var out [][]byte
	for _, one := range all {
		for _, e := range one.Events {
			if e.Dir == transcript.Server && e.Frame == transcript.Text {
				raw, err := e.Bytes()
				require.NoError(tb, err)
				out = append(out, raw)
			}
		}
	}
	return out
}

// checkFastDecoder compares the result of the fast decoder with that of encoding/json, if
// it decodes the frame at all. It does so with the result aliasing the input, and with the
// input overwritten after decoding.
func checkFastDecoder(tb testing.TB, raw []byte) {
	tb.Helper()
	original := bytes.Clone(raw)
	aliased, ok := wire.DecodeFast(raw, true)
	require.Equal(tb, original, raw, "decoding must not change its input")
	text := bytes.Clone(raw)
	copied, copiedOK := wire.DecodeFast(text, false)
	require.Equal(tb, ok, copiedOK)
	if !ok {
		return
	}
	for i := range text {
		text[i] = '!'
	}
	slow, err := wire.DecodeJSON(raw)
	require.NoError(tb, err, "%q", raw)
	checkFrame(tb, raw, slow, aliased)
	checkFrame(tb, raw, slow, copied)
}

func checkFrame(tb testing.TB, raw []byte, slow, fast *wire.Decoded) {
	tb.Helper()
	assert.Equal(tb, slow.Meta, fast.Meta, "%q", raw)
	assert.Equal(tb, string(slow.Data), string(fast.Data), "%q", raw)
	assert.Len(tb, fast.Messages, len(slow.Messages), "%q", raw)
	for i := range slow.Messages {
		require.Equal(tb, slow.Messages[i], fast.Messages[i], "%q", raw)
	}
}

func FuzzDecode(f *testing.F) {
	for _, raw := range recordedFrames(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkFastDecoder(t, raw)
		frame, err := wire.DecodeAll(raw, true)
		if err != nil {
			return
		}
		if len(frame.Data) > 0 && !json.Valid(frame.Data) {
			t.Fatalf("data is not JSON: %q", frame.Data)
		}
		_, _ = wire.Token(frame.Data)
		_, _ = wire.SubKey(frame.Data)
		_ = wire.ErrorCID(frame.Data)
		_ = wire.Text(frame.Data)
		_ = wire.Unwrap(frame.Data)
	})
}

// FuzzMessages decodes frames of messages with arbitrary data, which may be invalid JSON.
func FuzzMessages(f *testing.F) {
	for _, raw := range recordedFrames(f) {
		var frame struct {
			Data json.RawMessage `json:"data"`
		}
		require.NoError(f, json.Unmarshal(raw, &frame))
		f.Add([]byte(frame.Data))
	}
	for _, one := range unusualData() {
		f.Add([]byte(one))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		raw := frameWithData(data)
		checkFastDecoder(t, raw)
		frame, err := wire.DecodeAll(raw, true)
		if !json.Valid(raw) {
			require.Error(t, err, "%q", raw)
		}
		if err != nil {
			return
		}
		checkMessageData(t, data, frame.Messages)
	})
}

func frameWithData(data []byte) []byte {
	return append(append([]byte(`{"meta": {"id": "f", "msg_type": "zwsx.psrq"}, "data": `), data...), '}')
}

// checkMessageData compares the data of messages with what encoding/json decodes.
func checkMessageData(t *testing.T, data []byte, messages []wire.Message) {
	t.Helper()
	type message struct {
		Data json.RawMessage `json:"data"`
	}
	var list []message
	if json.Unmarshal(data, &list) != nil || bytes.TrimSpace(data)[0] != '[' {
		list = make([]message, 1)
		if json.Unmarshal(data, &list[0]) != nil {
			return // the field occurs twice, or the data is null
		}
	}
	require.Len(t, messages, len(list), "%q", data)
	for i, m := range list {
		content := string(m.Data)
		if len(m.Data) > 0 && m.Data[0] == '"' {
			require.NoError(t, json.Unmarshal(m.Data, &content))
		}
		require.Equal(t, content, string(messages[i].Data), "%q", data)
	}
}
