package wsxtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

var (
	subKeyPattern = regexp.MustCompile(`\\"sub_key\\": \\"([^\\]+)\\"`)
	// timePattern matches times and process ids, which differ between runs.
	timePattern = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}|"\d{9,}\.\d+"|"server_pid": \d+`)
	// idPattern matches ids and addresses, which differ between runs.
	idPattern = regexp.MustCompile(
		`zwsxt\.[0-9a-f]+|zpsm[0-9a-f]+|zpsk\.wsx\.[\w.-]+\.[0-9a-f]{1,6}\b|` +
			`ws\.[0-9a-f]{20,}|\b[0-9a-f]{20,32}\b|127\.0\.0\.1:\d+`)
)

// idNames numbers ids in the order of their first appearance.
type idNames map[string]int

func (n idNames) name(id string) string {
	if _, seen := n[id]; !seen {
		n[id] = len(n) + 1
	}
	return fmt.Sprintf("<%d>", n[id])
}

func (n idNames) normalize(frame string) string {
	return timePattern.ReplaceAllString(idPattern.ReplaceAllStringFunc(frame, n.name), "TIME")
}

// compare requires a frame to equal the recorded one, byte by byte, except for ids
// and times.
func (r *replay) compare(e transcript.Event, got []byte, description string) {
	want, err := e.Bytes()
	require.NoError(r.t, err)
	want = r.asBadRequest(want)
	if order := r.recorded.reordered[e.Seconds]; order != nil {
		want = reorder(want, order)
	}
	for recorded, today := range r.recorded.outdated {
		want = bytes.ReplaceAll(want, []byte(recorded), []byte(today))
	}
	recordedIDs := idPattern.FindAllString(string(want), -1)
	liveIDs := idPattern.FindAllString(string(got), -1)
	if len(recordedIDs) == len(liveIDs) {
		for i, id := range recordedIDs {
			r.liveIDs[id] = liveIDs[i]
		}
	}
	require.Equal(r.t, r.recordedNames.normalize(string(want)), r.liveNames.normalize(string(got)), description)
	r.compareTimes(want, got)
}

// reorder returns a frame with the messages of its list in another order.
func reorder(frame []byte, order []int) []byte {
	const first, between, last = "\"data\": [\n        {", "\n        },\n        {", "\n        }\n    ]"
	head, rest, _ := strings.Cut(string(frame), first)
	list, tail, _ := strings.Cut(rest, last)
	messages := strings.Split(list, between)
	ordered := make([]string, len(order))
	for i, at := range order {
		ordered[i] = messages[at]
	}
	return []byte(head + first + strings.Join(ordered, between) + last + tail)
}

// asBadRequest returns a recorded frame as the server sends it today.
func (r *replay) asBadRequest(frame []byte) []byte {
	const status, message = `"status": 500,`, `"error_message": "Internal server error"`
	text := string(frame)
	if len(r.badRequests) == 0 || !strings.Contains(text, status) || !strings.Contains(text, message) {
		return frame
	}
	text = strings.Replace(text, status, `"status": 400,`, 1)
	text = strings.Replace(text, message, `"error_message": "`+r.badRequests[0]+`"`, 1)
	r.badRequests = r.badRequests[1:]
	return []byte(text)
}

// pushedTimes are the times of a pushed message.
type pushedTimes struct {
	Expiration     int64  `json:"expiration"`
	ExpirationTime string `json:"expiration_time_iso"`
	PubTime        string `json:"pub_time_iso"`
}

// compareTimes requires that every message, recorded or live, expires as long after
// its publication as its expiration says.
func (r *replay) compareTimes(frames ...[]byte) {
	for _, raw := range frames {
		var pushed struct {
			Data json.RawMessage `json:"data"`
		}
		var list []pushedTimes
		if json.Unmarshal(raw, &pushed) != nil || json.Unmarshal(pushed.Data, &list) != nil {
			return // one message, or none
		}
		for _, m := range list {
			const layout = "2006-01-02T15:04:05.999999"
			published, err := time.Parse(layout, m.PubTime)
			require.NoError(r.t, err)
			expires, err := time.Parse(layout, m.ExpirationTime)
			require.NoError(r.t, err)
			assert.InDelta(r.t, time.Duration(m.Expiration)*time.Second, expires.Sub(published), float64(time.Millisecond))
		}
	}
}
