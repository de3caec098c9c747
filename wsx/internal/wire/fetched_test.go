package wire_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/testkit/race"
	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// fetchedMessage returns a message as connect.fetch answers it.
func fetchedMessage(id, data, pubTime string) string {
	return fmt.Sprintf(`{
                        "msg_id": "%s",
                        "data": %s,
                        "priority": 9,
                        "correl_id": "c1",
                        "in_reply_to": null,
                        "ext_client_id": "",
                        "pub_time": %s,
                        "ext_pub_time": null,
                        "expiration": 86400,
                        "expiration_time": "1796030003.3680801",
                        "mime_type": "application\/json",
                        "delivery_count": 2
                    }`, id, data, pubTime)
}

func fetchedAnswer(confirmed int, messages ...string) []byte {
	return fmt.Appendf(nil, `{"messages": [%s], "confirmed": %d}`, strings.Join(messages, ", "), confirmed)
}

func TestFetchedMessagesHaveTheFieldsOfPushedOnes(t *testing.T) {
	got, err := wire.DecodeFetchedAll(fetchedAnswer(3,
		fetchedMessage("m1", `"one"`, `"1795943603.3680801"`),
		fetchedMessage("m2", `{"a": 1.10}`, `"1795943603.3680801"`),
		fetchedMessage("m3", `"three"`, `"1795943604"`)))
	require.NoError(t, err)
	assert.EqualValues(t, 3, got.Confirmed)
	require.Len(t, got.Messages, 3)
	one := wire.Message{
		MsgID: "m1", Data: []byte("one"), Priority: 9, CorrelID: "c1", Expiration: 86400,
		MimeType: "application/json", DeliveryCount: 2,
		PubTime: "2026-11-29T09:13:23.368080", ExpirationTime: "2026-11-30T09:13:23.368080",
	}
	assert.Equal(t, one, got.Messages[0])
	assert.JSONEq(t, `{"a": 1.10}`, string(got.Messages[1].Data))
	assert.Equal(t, one.PubTime, got.Messages[1].PubTime)
	assert.Equal(t, "2026-11-29T09:13:24", got.Messages[2].PubTime, "as the server writes a time without a fraction")
}

func TestTimesOfFetchedMessagesAreThoseOfPushedOnes(t *testing.T) {
	for epoch, want := range map[string]string{
		"1795943603.3680801":     "2026-11-29T09:13:23.368080",
		"1795943603.368082":      "2026-11-29T09:13:23.368082",
		"1795943603.3680825":     "2026-11-29T09:13:23.368083",
		"1795943603.36808249999": "2026-11-29T09:13:23.368082",
		"1795943603.9999999":     "2026-11-29T09:13:24",
		"1795943603.5":           "2026-11-29T09:13:23.500000",
		"1795943603.000001":      "2026-11-29T09:13:23.000001",
		"1795943603.0":           "2026-11-29T09:13:23",
		"1795943603":             "2026-11-29T09:13:23",
		"0":                      "1970-01-01T00:00:00",
		"0.1":                    "1970-01-01T00:00:00.100000",
		"253402300799":           "9999-12-31T23:59:59",
		// Texts that are no such times stay as they are.
		"253402300800": "253402300800", "99999999999999999999": "99999999999999999999",
		"": "", "-1": "-1", "1.": "1.", ".5": ".5", "1e9": "1e9", "1.5s": "1.5s", "noon": "noon",
		"2026-11-29T09:13:23.368080": "2026-11-29T09:13:23.368080",
	} {
		assert.Equal(t, want, wire.Time(epoch), epoch)
	}
}

func TestUnusualAnswersToAFetchDecodeAsWithEncodingJSON(t *testing.T) {
	times := append(unusualValues(), `"1795943603.3680801"`, `1795943603.3680801`, `"17959\u0034"`)
	for _, v := range times {
		for _, answer := range []string{
			v,
			`{"messages": ` + v + `}`,
			`{"messages": [], "confirmed": ` + v + `}`,
			`{"messages": [{"msg_id": "m"}], "other": ` + v + `}`,
			string(fetchedAnswer(1, fetchedMessage("m", v, `"1"`), fetchedMessage("n", v, `"2"`))),
			string(fetchedAnswer(1, fetchedMessage("m", `"x"`, `"1"`), fetchedMessage("n", `"x"`, v),
				fetchedMessage("o", `"x"`, v))),
			`{"messages": [{"pub_time": "1", "pub_time": ` + v + `}]}`,
			`{"messages": [{"pub_time": "1", "pub_time_iso": ` + v + `}]}`,
			`{"messages": [{"Pub_Time": ` + v + `}]}`,
			`{"messages": [], "messages": [{"pub_time": ` + v + `}]}`,
		} {
			checkFetched(t, []byte(answer))
		}
	}
}

// checkFetched compares the result of the fast decoder with that of encoding/json.
func checkFetched(tb testing.TB, answer []byte) {
	tb.Helper()
	original := bytes.Clone(answer)
	fast, ok := wire.DecodeFetchedFast(answer)
	require.Equal(tb, original, answer, "decoding must not change its input")
	slow, slowErr := wire.DecodeFetchedJSON(answer)
	got, err := wire.DecodeFetchedAll(answer)
	require.Equal(tb, slowErr == nil, err == nil, "%q", answer)
	if ok {
		require.NoError(tb, slowErr, "%q", answer)
		compareFetched(tb, answer, slow, fast)
	}
	if err == nil {
		compareFetched(tb, answer, slow, got)
	}
}

func compareFetched(tb testing.TB, answer []byte, want, got wire.Fetched) {
	tb.Helper()
	require.Equal(tb, want.Confirmed, got.Confirmed, "%q", answer)
	require.Len(tb, got.Messages, len(want.Messages), "%q", answer)
	for i := range want.Messages {
		require.Equal(tb, want.Messages[i], got.Messages[i], "%q", answer)
	}
}

func FuzzFetched(f *testing.F) {
	f.Add([]byte(`{"messages": [], "confirmed": 0}`))
	f.Add(fetchedAnswer(2, fetchedMessage("m", `"x"`, `"1795943603.3680801"`),
		fetchedMessage("n", `"y"`, `"1795943603.5"`)))
	f.Add(fetchedAnswer(0, fetchedMessage("m", `{"a": []}`, `1795943603.5`), fetchedMessage("n", `null`, `null`)))
	f.Fuzz(func(t *testing.T, answer []byte) { checkFetched(t, answer) })
}

// FuzzTime checks that each time that is converted is the time in the text, to a microsecond.
func FuzzTime(f *testing.F) {
	f.Add(int64(1795943603), uint32(368080100))
	f.Fuzz(func(t *testing.T, seconds int64, nanoseconds uint32) {
		if seconds < 0 || seconds > 253402300798 {
			return
		}
		at := time.Unix(seconds, int64(nanoseconds%1e9)).UTC()
		text := wire.Time(fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond()))
		got, err := time.Parse("2006-01-02T15:04:05.999999", text)
		require.NoError(t, err)
		require.WithinDuration(t, at, got, time.Microsecond/2)
	})
}

func TestFetchedMessagesAreDecodedWithFewAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	var messages []string
	for i := range 500 {
		messages = append(messages, fetchedMessage(fmt.Sprintf("zpsm%024d", i), `"`+strings.Repeat("x", 1024)+`"`,
			fmt.Sprintf(`"1795943603.%06d"`, i)))
	}
	answer := fetchedAnswer(0, messages...)
	got := testing.AllocsPerRun(20, func() {
		if _, ok := wire.DecodeFetchedFast(answer); !ok {
			t.Fatal("not decoded by the fast decoder")
		}
	})
	t.Logf("%.0f allocations", got)
	assert.Less(t, got, 40.0, "500 messages")
}

func BenchmarkDecodeFetched(b *testing.B) {
	var messages []string
	for i := range 500 {
		messages = append(messages, fetchedMessage(fmt.Sprintf("zpsm%024d", i), `"`+strings.Repeat("x", 1024)+`"`,
			fmt.Sprintf(`"1795943603.%06d"`, i)))
	}
	answer := fetchedAnswer(0, messages...)
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.DecodeFetchedAll(answer); err != nil {
			b.Fatal(err)
		}
	}
}
