package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/race"
	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// unusualValues returns JSON values of all kinds, and texts that are nearly JSON.
func unusualValues() []string {
	deep := func(open, end string, depth int) string {
		return strings.Repeat(open, depth) + "1" + strings.Repeat(end, depth)
	}
	return []string{
		`""`, `"a"`, `"é"`, `"\u00e9\"\\\/\b\f\n\r\t"`, `"1234567\"1234567\/"`, `"12345678901234567890"`,
		`"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\ud83d\n"`,
		`"\u12g4"`, `"\x"`, `"\`, `"`, "\"\xff\"", "\"\xed\xa0\x80\"", "\"\x00\"", "\"\n\"",
		"\"1234567\x1f\"", "\"1234567\xff\"", "\"1234567é1234567\"",
		`null`, `nul`, `true`, `tru`, `false`, `falsey`,
		`0`, `-0`, `01`, `-`, `1.`, `1.5`, `.5`, `1e`, `1e5`, `1E+5`, `1e-5`, `+1`, `1.10000000000000000000001`,
		`12345678901234567890123`, `9223372036854775807`, `9223372036854775808`,
		`{}`, `{`, `{"a"}`, `{"a":}`, `{"a": 1,}`, `{"a": [1, {"b": null}], "\u0061": "\/"}`,
		`[]`, `[`, `[1,]`, `[1 2]`, "[ 1 ,\t2\r\n]",
		deep("[", "]", 500), deep("[", "]", 9999), deep("[", "]", 5000), deep("[", "]", 20000), deep(`{"a":`, "}", 2000),
	}
}

// unusualData returns data of message frames that no server sends. Some of it is not valid
// JSON.
func unusualData() []string {
	var out []string
	prev := `"former"`
	for _, v := range unusualValues() {
		out = append(out, v, "["+v+"]", "[{}, "+v+"]")
		for _, name := range []string{"data", "topic_name", "priority", "unknown"} {
			one := func(v string) string { return fmt.Sprintf(`{"%s": %s, "msg_id": "m"}`, name, v) }
			two := func(v, w string) string { return fmt.Sprintf(`{"%s": %s, "%s": %s}`, name, v, name, w) }
			out = append(out,
				"["+one(prev)+","+one(v)+","+one(v)+","+one(prev)+"]",
				"["+one(prev)+", "+one(v)+","+one(prev)+`, {"msg_id": "m"}]`,
				"["+two(prev, v)+","+two(prev, "null")+","+two("null", v)+","+two(prev, v)+"]",
			)
		}
		if json.Valid([]byte(v)) {
			prev = v
		}
		for _, name := range []string{
			"data", "topic_name", "Topic_Name", "topic\\u005fname", "priority", "PRIORITY", "\u017fize", "size",
			"unknown", "Unknown", "",
		} {
			out = append(out,
				fmt.Sprintf(`{"%s": %s}`, name, v),
				fmt.Sprintf(`[{"%s":%s , "msg_id":"m"},{"msg_id": "m"}]`, name, v),
				fmt.Sprintf(`{"data": "x", "topic_name": "x", "priority": 9, "size": 9, "%s": %s}`, name, v),
			)
		}
	}
	return out
}

func TestUnusualFramesDecodeAsWithEncodingJSON(t *testing.T) {
	fast := 0
	for _, data := range unusualData() {
		raw := frameWithData([]byte(data))
		checkFastDecoder(t, raw)
		got, err := wire.DecodeAll(raw, true)
		want, wantErr := wire.DecodeJSON(raw)
		require.Equal(t, wantErr, err, data)
		if err == nil {
			assert.Equal(t, want.Meta, got.Meta)
			assert.Len(t, got.Messages, len(want.Messages), data)
		}
		if !json.Valid(raw) {
			require.Error(t, err, data)
		}
		if _, ok := wire.DecodeFast(raw, true); ok {
			fast++
		}
	}
	t.Logf("the fast path decoded %d of %d frames", fast, len(unusualData()))
	assert.Greater(t, fast, len(unusualData())/8)
}

func TestTruncatedFramesAreErrors(t *testing.T) {
	raw := frameWithData([]byte(`[{"data": "\u00e9\/", "priority": 5, "msg_id": "m"}, ` +
		`{"data": {"a": [1.5, null, true]}}]`))
	for n := range raw {
		_, ok := wire.DecodeFast(raw[:n], true)
		require.False(t, ok, n)
		_, err := wire.DecodeAll(raw[:n], true)
		require.Error(t, err, n)
	}
	_, err := wire.DecodeAll(append(bytes.Clone(raw), 'x'), true)
	require.Error(t, err)
}

func TestUnusualFieldOrdersDecodeAsWithEncodingJSON(t *testing.T) {
	for _, raw := range []string{
		`{"data": {"msg_id": "m"}, "meta": {"msg_type": "zwsx.psrq"}}`,
		`{"meta": {"msg_type": "zwsx.psrq"}, "data": {"msg_id": "m"}, "data": [{"msg_id": "n"}]}`,
		`{"meta": {"msg_type": "zwsx.psrq"}, "meta": {"id": "i"}, "data": {"msg_id": "m"}}`,
		`{"meta": {"msg_type": "zwsx.psrq"}, "data": {"msg_id": "m"}, "meta": {"msg_type": "zwsx.rspok"}}`,
		`{"meta": {"msg_type": "zwsx.psrq", "status": 200, "in_reply_to": "r"}, "data": {"msg_id": "m"}}`,
		`{"Meta": {"msg_type": "zwsx.psrq"}, "DATA": {"msg_id": "m"}}`,
		`{"meta": {"msg_type": "zwsx.psrq", "msg_type": null}, "other": {"a": 1}, "data": null}`,
		`{"meta": {"msg_type": "zwsx.rspok"}, "data": {"msg_id": "m"}}`,
	} {
		checkFastDecoder(t, []byte(raw))
		got, err := wire.DecodeAll([]byte(raw), true)
		require.NoError(t, err, raw)
		want, err := wire.DecodeJSON([]byte(raw))
		require.NoError(t, err, raw)
		assert.Equal(t, want, got, raw)
	}
}

func TestMessagesWithTooManyFieldsForATemplateTakeTheFastPath(t *testing.T) {
	var fields []string
	for i := range 100 {
		fields = append(fields, fmt.Sprintf(`"name%d": %d`, i, i))
	}
	one := `{"msg_id": "m", ` + strings.Join(fields, ", ") + `, "data": "d"}`
	raw := frameWithData([]byte("[" + strings.Join([]string{one, one, one}, ", ") + "]"))
	checkFastDecoder(t, raw)
	frame, ok := wire.DecodeFast(raw, true)
	require.True(t, ok)
	assert.Len(t, frame.Messages, 3)
}

func TestRecordedFramesTakeTheFastPath(t *testing.T) {
	decoded := 0
	for _, raw := range recordedFrames(t) {
		checkFastDecoder(t, raw)
		_, ok := wire.DecodeFast(raw, true)
		require.True(t, ok, "%s", raw)
		decoded++
	}
	assert.Greater(t, decoded, 100)
}

// messageFrame returns a frame of n messages with the same data, formatted as by a server.
func messageFrame(n int, data string) []byte {
	var messages []string
	for i := range n {
		messages = append(messages, fmt.Sprintf(`
        {
            "data": %s,
            "delivery_count": 1,
            "expiration": 86400,
            "expiration_time_iso": "2026-01-02T10:11:12.%06d",
            "ext_client_id": "zato.pubsub.pubapi.topic-service",
            "ext_pub_time_iso": "",
            "mime_type": "application\/json",
            "position_in_group": 1,
            "priority": 5,
            "pub_time_iso": "2026-01-01T10:11:12.%06d",
            "recv_time_iso": "2026-01-01T10:11:12.%06d",
            "size": 1024,
            "sub_key": "zpsk.wsx.client.0a1b2c",
            "topic_name": "\/my\/topic.gd",
            "msg_id": "zpsm%024x",
            "correl_id": "%024x"
        }`, data, i, i, i, i, i))
	}
	return frameWithData([]byte("[" + strings.Join(messages, ",") + "\n    ]"))
}

func TestDecodingMessagesTakesFewAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("sync.Pool drops values at random under the race detector")
	}
	text, escaped := `"`+strings.Repeat("x", 1024)+`"`, `"`+strings.Repeat(`{\"key\":\"v\"}`, 70)+`"`
	for _, c := range []struct {
		name, data string
		n          int
		budget     float64
	}{
		{"one text", text, 1, 3},
		{"texts", text, 500, 25},
		{"JSON in texts", escaped, 500, 35},
		{"objects", `{"key": [` + strings.Repeat("1.5, ", 200) + `1]}`, 500, 25},
	} {
		raw := messageFrame(c.n, c.data)
		checkFastDecoder(t, raw)
		allocs := testing.AllocsPerRun(20, func() {
			if _, err := wire.DecodeAll(raw, true); err != nil {
				t.Fail()
			}
		})
		t.Logf("%s: %.0f allocations for %d messages", c.name, allocs, c.n)
		assert.LessOrEqual(t, allocs, c.budget, c.name)
	}
}

func TestDecodingAnAnswerTakesFewAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("sync.Pool drops values at random under the race detector")
	}
	answer := []byte(`{"meta": {"id": "12fb4c2d5d0b1981700203b6", "timestamp": "2026-01-01T10:11:12.234567", ` +
		`"msg_type": "zwsx.rspok", "status": 200, "in_reply_to": "zwsxc.inv.1"}, "data": {"response": "text"}}`)
	assert.LessOrEqual(t, testing.AllocsPerRun(20, func() {
		if _, err := wire.DecodeAll(answer, false); err != nil {
			t.Fail()
		}
	}), 2.0)
}

func BenchmarkDecode(b *testing.B) {
	text, escaped := `"`+strings.Repeat("x", 1024)+`"`, `"`+strings.Repeat(`{\"key\":\"v\"}`, 70)+`"`
	object := `{"key": [` + strings.Repeat(`{"number": 1.5, "text": "some text"}, `, 25) + `1]}`
	for _, c := range []struct{ name, data string }{{"text", text}, {"escaped", escaped}, {"object", object}} {
		raw := messageFrame(500, c.data)
		for _, decoder := range []struct {
			name   string
			decode func([]byte) (*wire.Decoded, error)
		}{
			{"aliased", func(raw []byte) (*wire.Decoded, error) { return wire.DecodeAll(raw, true) }},
			{"copied", func(raw []byte) (*wire.Decoded, error) { return wire.DecodeAll(raw, false) }},
			{"encoding_json", wire.DecodeJSON},
		} {
			b.Run(c.name+"/"+decoder.name, func(b *testing.B) {
				b.SetBytes(int64(len(raw)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := decoder.decode(raw); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
