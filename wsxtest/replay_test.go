package wsxtest_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

func TestTranscriptsReplay(t *testing.T) {
	all, err := transcript.LoadAll("testdata/transcripts")
	require.NoError(t, err)
	require.Len(t, all, 23)
	for _, recorded := range all {
		t.Run(recorded.Scenario, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newReplay(t).run(recorded) })
		})
	}
}

// recordedServer is a server as the one the transcripts were recorded from.
func recordedServer(network *wsxtest.Network) *wsxtest.Server {
	gateway := wsxtest.Channel{Path: "/my.wsx", Username: "user1", Secret: "secret1", Gateway: wsxtest.Stock}
	mended, short := gateway, gateway
	mended.Path, mended.Gateway = "/my.wsx.cid", wsxtest.Mended
	short.Path, short.Gateway = "/my.wsx.short", wsxtest.Mended
	short.TokenTTL, short.PingInterval = 5*time.Second, 2*time.Second
	options := []wsxtest.Option{
		wsxtest.WithNetwork(network),
		wsxtest.WithChannel(gateway), wsxtest.WithChannel(mended), wsxtest.WithChannel(short),
		wsxtest.WithChannel(wsxtest.Channel{Path: "/my.echo", Service: wsxtest.Echo}),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/my/topic"}),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/my/topic2"}),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/my/topic.gd", GuaranteedDelivery: true}),
	}
	for name, service := range wsxtest.DemoServices() {
		options = append(options, wsxtest.WithService(name, service))
	}
	return wsxtest.NewServer(options...)
}

// tolerance is how much later or earlier than recorded something may come: a
// delivery round is half a second.
const tolerance = 0.6

// replay plays the client's side of a recording and compares the server's.
type replay struct {
	t      *testing.T
	server *wsxtest.Server
	net    *wsxtest.Network
	conns  map[string]*peer
	// live maps what differs from run to run, as recorded, to what it is now.
	live map[string]string
	// results of requests that the server made.
	results chan string
	// last is when the previous event was recorded, lastAt when it was played.
	last   float64
	lastAt time.Time
}

func newReplay(t *testing.T) *replay {
	t.Helper()
	r := &replay{
		t: t, net: wsxtest.NewNetwork(), conns: map[string]*peer{},
		live: map[string]string{}, results: make(chan string, 1), lastAt: time.Now(),
	}
	r.server = recordedServer(r.net)
	require.NoError(t, r.server.Start())
	return r
}

func (r *replay) run(recorded transcript.Transcript) {
	defer r.server.Close()
	defer func() {
		for _, c := range r.conns {
			c.cut()
		}
	}()
	for i, e := range recorded.Events {
		switch {
		case e.Note != "":
			r.note(e.Note)
		case e.Frame == "open":
			r.pace(e.T)
			r.open(&e)
		case e.Client():
			r.pace(e.T)
			r.send(&e)
		case e.Frame == "silence":
			r.silence(&e)
		default:
			r.expect(&e)
		}
		r.request(recorded.Events[i+1:])
		if e.Note == "" {
			r.last, r.lastAt = e.T, time.Now()
		}
		if r.t.Failed() {
			r.t.Fatalf("event %d of %q: %s %s %s", i+1, recorded.Scenario, e.Conn, e.Dir, e.Frame)
		}
	}
}

// pace waits as long as the recorded client did.
func (r *replay) pace(at float64) {
	<-time.After(time.Until(r.lastAt.Add(seconds(at - r.last))))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (r *replay) open(e *transcript.Event) {
	if old := r.conns[e.Conn]; old != nil {
		old.cut()
	}
	c, err := dialPeer(r.t, r.net, r.server.URL(e.Path()))
	require.NoError(r.t, err)
	r.conns[e.Conn] = c
}

// send plays a frame of the client, with the ids of this run.
func (r *replay) send(e *transcript.Event) {
	payload := r.current(string(e.Bytes()))
	switch e.Frame {
	case "close":
		code, reason := e.Close()
		r.conns[e.Conn].close(code, reason)
	case "eof":
		r.conns[e.Conn].cut()
	default:
		r.conns[e.Conn].send(e.Frame, []byte(payload))
	}
}

// current rewrites recorded ids as those of this run.
func (r *replay) current(s string) string {
	for recorded, live := range r.live {
		s = strings.ReplaceAll(s, recorded, live)
	}
	return s
}

// silence expects nothing for as long as recorded.
func (r *replay) silence(e *transcript.Event) {
	select {
	case got := <-r.conns[e.Conn].events:
		assert.Fail(r.t, "no silence", "%s %s", got.kind, got.payload)
	case <-time.After(seconds(e.Seconds())):
	}
}

// expect compares the next thing that comes from the server.
func (r *replay) expect(e *transcript.Event) {
	var got event
	select {
	case got = <-r.conns[e.Conn].events:
	case <-time.After(seconds(e.T-r.last) + 3*time.Second):
		assert.Fail(r.t, "nothing came", "expected: %s %s", e.Frame, e.Payload)
		return
	}
	require.Equal(r.t, e.Frame, got.kind, "%s", got.payload)
	assert.InDelta(r.t, e.T-r.last, time.Since(r.lastAt).Seconds(), tolerance, "at the recorded time: %s", got.payload)
	switch e.Frame {
	case "close":
		code, reason := e.Close()
		assert.Equal(r.t, fmt.Sprint(code, " ", reason), string(got.payload))
	case "text", "ping":
		r.compare(string(e.Bytes()), string(got.payload))
	default:
		assert.Equal(r.t, string(e.Bytes()), string(got.payload))
	}
}

// compare demands the very bytes that were recorded, ids and times apart.
func (r *replay) compare(recorded, got string) {
	var a, b any
	require.NoError(r.t, json.Unmarshal([]byte(recorded), &a))
	require.NoError(r.t, json.Unmarshal([]byte(got), &b), "%s", got)
	var pairs []string
	r.collect("", a, b, &pairs)
	assert.Equal(r.t, strings.NewReplacer(pairs...).Replace(recorded), got)
}

// changing are the patterns of what differs from run to run, by key.
var changing = map[string]*regexp.Regexp{
	"id":            regexp.MustCompile(`^(zpsm)?[0-9a-f]{22,24}$`),
	"cid":           regexp.MustCompile(`^[0-9a-f]{22,24}$`),
	"correl_id":     regexp.MustCompile(`^[0-9a-f]{22,24}$`),
	"msg_id":        regexp.MustCompile(`^zpsm[0-9a-f]{22,24}$`),
	"token":         regexp.MustCompile(`^zwsxt\.[0-9a-f]{22,24}$`),
	"sub_key":       regexp.MustCompile(`^zpsk\.wsx\.client\.sub\.[0-9a-f]{4,6}$`),
	"pub_client_id": regexp.MustCompile(`^ws\.[0-9a-f]{22,24}$`),
	"peer":          regexp.MustCompile(`^[a-z0-9.]+:\d+$`),
}

var isoTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$`)

// collect pairs recorded values with those of this run, and checks that each
// has the same kind and that one which was seen before is the same again.
func (r *replay) collect(key string, recorded, got any, pairs *[]string) {
	switch a := recorded.(type) {
	case map[string]any:
		b, _ := got.(map[string]any)
		for k, v := range a {
			r.collect(k, v, b[k], pairs)
		}
	case []any:
		b, _ := got.([]any)
		for i, v := range a {
			if i < len(b) {
				r.collect(key, v, b[i], pairs)
			}
		}
	case string:
		b, _ := got.(string)
		if isoTime.MatchString(a) && isoTime.MatchString(b) {
			r.live[a] = b // a pong echoes the time of its ping
			*pairs = append(*pairs, a, b)
			return
		}
		pattern := changing[key]
		if pattern == nil || !pattern.MatchString(a) || !pattern.MatchString(b) {
			return // compared as it is
		}
		if known, ok := r.live[a]; ok {
			b = known
		}
		r.live[a] = b
		*pairs = append(*pairs, a, b)
	}
}

// request makes the server call the client where the recording says that a
// service did: a request comes that no invocation of this client caused.
func (r *replay) request(next []transcript.Event) {
	if len(next) == 0 || !strings.Contains(string(next[0].Bytes()), `"msg_type": "zwsx.rqc"`) || next[0].Frame != "text" {
		return
	}
	var frame struct {
		Meta struct{ ID string }
		Data json.RawMessage
	}
	require.NoError(r.t, json.Unmarshal(next[0].Bytes(), &frame))
	for _, e := range next[1:] {
		if e.Frame == "text" && strings.Contains(string(e.Bytes()), `"id": "`+frame.Meta.ID+`"`) {
			return // the answer to the invocation that made the request has its id
		}
	}
	if string(frame.Data) == "" {
		frame.Data = json.RawMessage("null")
	}
	go func() {
		result, _ := r.server.Request(r.t.Context(), "client.a", frame.Data, 2*time.Second)
		r.results <- string(result)
	}()
}

// note checks what a service got back from the client.
func (r *replay) note(note string) {
	text, ok := strings.CutPrefix(note, "service result ")
	if !ok || text == `{"ok":true}` {
		return
	}
	var expected struct {
		Response json.RawMessage `json:"client_responded_with"`
	}
	require.NoError(r.t, json.Unmarshal([]byte(text), &expected))
	assert.JSONEq(r.t, string(expected.Response), <-r.results)
}
