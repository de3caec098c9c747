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

// values are JSON and what is nearly JSON.
func values() []string {
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

// odd returns the data of frames that no server sends, valid and not.
func odd() []string {
	var out []string
	before := `"former"`
	for _, v := range values() {
		out = append(out, v, "["+v+"]", "[{}, "+v+"]")
		for _, name := range []string{"data", "topic_name", "priority", "unknown"} {
			one := func(v string) string { return fmt.Sprintf(`{"%s": %s, "msg_id": "m"}`, name, v) }
			two := func(v, w string) string { return fmt.Sprintf(`{"%s": %s, "%s": %s}`, name, v, name, w) }
			out = append(out,
				"["+one(before)+","+one(v)+","+one(v)+","+one(before)+"]",
				"["+one(before)+", "+one(v)+","+one(before)+`, {"msg_id": "m"}]`,
				"["+two(before, v)+","+two(before, "null")+","+two("null", v)+","+two(before, v)+"]",
			)
		}
		if json.Valid([]byte(v)) {
			before = v
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

func TestOddFramesAreReadAsByEncodingJSON(t *testing.T) {
	fast := 0
	for _, data := range odd() {
		raw := frameOf([]byte(data))
		checkSplit(t, raw)
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
		if _, ok := wire.Split(raw, true); ok {
			fast++
		}
	}
	t.Logf("%d of %d were split", fast, len(odd()))
	assert.Greater(t, fast, len(odd())/8)
}

func TestFramesThatAreCutOffAreErrors(t *testing.T) {
	raw := frameOf([]byte(`[{"data": "\u00e9\/", "priority": 5, "msg_id": "m"}, {"data": {"a": [1.5, null, true]}}]`))
	for n := range raw {
		_, ok := wire.Split(raw[:n], true)
		require.False(t, ok, n)
		_, err := wire.DecodeAll(raw[:n], true)
		require.Error(t, err, n)
	}
	_, err := wire.DecodeAll(append(bytes.Clone(raw), 'x'), true)
	require.Error(t, err)
}

func TestOddOrdersOfAFrameAreReadAsByEncodingJSON(t *testing.T) {
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
		checkSplit(t, []byte(raw))
		got, err := wire.DecodeAll([]byte(raw), true)
		require.NoError(t, err, raw)
		want, err := wire.DecodeJSON([]byte(raw))
		require.NoError(t, err, raw)
		assert.Equal(t, want, got, raw)
	}
}

func TestMessagesOfMoreFieldsThanServersWriteAreSplit(t *testing.T) {
	var fields []string
	for i := range 100 {
		fields = append(fields, fmt.Sprintf(`"name%d": %d`, i, i))
	}
	one := `{"msg_id": "m", ` + strings.Join(fields, ", ") + `, "data": "d"}`
	raw := frameOf([]byte("[" + strings.Join([]string{one, one, one}, ", ") + "]"))
	checkSplit(t, raw)
	frame, ok := wire.Split(raw, true)
	require.True(t, ok)
	assert.Len(t, frame.Messages, 3)
}

func TestFramesOfServersAreSplit(t *testing.T) {
	split := 0
	for _, raw := range recorded(t) {
		checkSplit(t, raw)
		_, ok := wire.Split(raw, true)
		require.True(t, ok, "%s", raw)
		split++
	}
	assert.Greater(t, split, 100)
}

// listOf is a frame of n messages with some data, as a server writes it.
func listOf(n int, data string) []byte {
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
	return frameOf([]byte("[" + strings.Join(messages, ",") + "\n    ]"))
}

func TestListIsSplitWithFewAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("under the race detector pools forget")
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
		raw := listOf(c.n, c.data)
		checkSplit(t, raw)
		took := testing.AllocsPerRun(20, func() {
			if _, err := wire.DecodeAll(raw, true); err != nil {
				t.Fail()
			}
		})
		t.Logf("%s: %.0f allocations for %d messages", c.name, took, c.n)
		assert.LessOrEqual(t, took, c.budget, c.name)
	}
}

func TestAnswerIsSplitWithFewAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("under the race detector pools forget")
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
		raw := listOf(500, c.data)
		for _, way := range []struct {
			name   string
			decode func([]byte) (*wire.Decoded, error)
		}{
			{"split", func(raw []byte) (*wire.Decoded, error) { return wire.DecodeAll(raw, true) }},
			{"copied", func(raw []byte) (*wire.Decoded, error) { return wire.DecodeAll(raw, false) }},
			{"encoding_json", wire.DecodeJSON},
		} {
			b.Run(c.name+"/"+way.name, func(b *testing.B) {
				b.SetBytes(int64(len(raw)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := way.decode(raw); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
