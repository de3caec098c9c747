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

// recorded returns what a real server sent.
func recorded(tb testing.TB) [][]byte {
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

// checkSplit compares split, where it reads a frame, to encoding/json: where it owns
// the text, and where the text is used again.
func checkSplit(tb testing.TB, raw []byte) {
	tb.Helper()
	before := bytes.Clone(raw)
	owned, ok := wire.Split(raw, true)
	require.Equal(tb, before, raw, "it is not to be changed")
	text := bytes.Clone(raw)
	copied, okToo := wire.Split(text, false)
	require.Equal(tb, ok, okToo)
	if !ok {
		return
	}
	for i := range text {
		text[i] = '!'
	}
	slow, err := wire.DecodeJSON(raw)
	require.NoError(tb, err, "%q", raw)
	checkFrame(tb, raw, slow, owned)
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
	for _, raw := range recorded(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkSplit(t, raw)
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

// FuzzMessages makes frames of the data of frames, which may be broken.
func FuzzMessages(f *testing.F) {
	for _, raw := range recorded(f) {
		var frame struct {
			Data json.RawMessage `json:"data"`
		}
		require.NoError(f, json.Unmarshal(raw, &frame))
		f.Add([]byte(frame.Data))
	}
	for _, one := range odd() {
		f.Add([]byte(one))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		raw := frameOf(data)
		checkSplit(t, raw)
		frame, err := wire.DecodeAll(raw, true)
		if !json.Valid(raw) {
			require.Error(t, err, "%q", raw)
		}
		if err != nil {
			return
		}
		checkContents(t, data, frame.Messages)
	})
}

func frameOf(data []byte) []byte {
	return append(append([]byte(`{"meta": {"id": "f", "msg_type": "zwsx.psrq"}, "data": `), data...), '}')
}

// checkContents compares the data of messages to what encoding/json finds.
func checkContents(t *testing.T, data []byte, messages []wire.Message) {
	t.Helper()
	type message struct {
		Data json.RawMessage `json:"data"`
	}
	var list []message
	if json.Unmarshal(data, &list) != nil || bytes.TrimSpace(data)[0] != '[' {
		list = make([]message, 1)
		if json.Unmarshal(data, &list[0]) != nil {
			return // data is given twice, or not at all
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
