package wsxtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsxtest"
	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

// recordings is how many there are: none may get lost.
const recordings = 23

func TestTranscriptsReplay(t *testing.T) {
	all, err := transcript.LoadAll("testdata/transcripts")
	require.NoError(t, err)
	require.Len(t, all, recordings)
	for name, recorded := range all {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, name, recorded.Scenario)
			require.NotEmpty(t, recorded.Events)
			synctest.Test(t, func(t *testing.T) { newReplay(t).run(recorded.Events) })
		})
	}
}

// tolerance is how much later or earlier than recorded something may come: one
// round of delivery and some.
const tolerance = 700 * time.Millisecond

// replay plays the client of a recording and compares what the server does.
type replay struct {
	t       *testing.T
	srv     *wsxtest.Server
	network *wsxtest.Network
	peers   map[string]*peer

	// recorded and live give the n-th different id on either side one name, so
	// that frames can be compared byte by byte and an id that is used again must
	// be so on both sides.
	recorded, live names
	// swap turns recorded ids into live ones, for what the client sends.
	swap map[string]string

	// answers has results of requests that the server was made to send.
	answers chan string
	// asked tells that the next request needs no making: the recording's
	// service, or a broadcast, sends it.
	asked bool
}

func newReplay(t *testing.T) *replay {
	t.Helper()
	r := &replay{
		t: t, network: wsxtest.NewNetwork(), peers: map[string]*peer{},
		recorded: names{}, live: names{}, swap: map[string]string{}, answers: make(chan string, 1),
	}
	r.srv = wsxtest.NewServer(wsxtest.WithNetwork(r.network), wsxtest.WithTranscriptServer(),
		wsxtest.WithResumeTime(240*time.Millisecond))
	require.NoError(t, r.srv.Start())
	t.Cleanup(r.srv.Close)
	return r
}

func (r *replay) run(events []transcript.Event) {
	t := r.t
	last := time.Now()
	for i, e := range events {
		before := e
		if i > 0 {
			before = events[i-1]
		}
		gap := max(0, e.At()-before.At())
		what := fmt.Sprintf("event %d: t=%v %s %s %s %s %s", i+1, e.Seconds, e.Conn, e.Dir, e.Frame, e.Payload, e.Note)
		switch {
		case e.Note != "":
			r.note(e, events[i+1:], what)
		case e.Dir == transcript.Client:
			<-time.After(gap)
			p := r.peers[e.Conn]
			require.NotNil(t, p, what)
			more := i+1 < len(events) && sameSegment(e, events[i+1])
			if more {
				p.wire.hold()
			}
			r.act(e, what)
			if !more {
				require.NoError(t, p.wire.release(), what)
				synctest.Wait()
			}
		case e.Frame == transcript.Silence:
			d, err := e.Details()
			require.NoError(r.t, err)
			r.silence(e.Conn, time.Duration(d.Seconds*float64(time.Second)), what)
		default:
			r.expect(e, events[i+1:], what)
			assert.InDelta(r.t, gap, time.Since(last), float64(tolerance), "%s: came at another time than recorded", what)
		}
		last = time.Now()
	}
	synctest.Wait()
	for name, p := range r.peers {
		select {
		case h := <-p.inbox:
			require.FailNow(r.t, "more than recorded came", "%s: %s", name, h)
		default:
		}
	}
}

// sameSegment tells whether the client sent two frames at once.
func sameSegment(a, b transcript.Event) bool {
	return a.Conn == b.Conn && b.Dir == transcript.Client && a.At() == b.At() && b.Frame != transcript.EOF
}

// note makes the server send what nobody asked it for over a WebSocket.
func (r *replay) note(e transcript.Event, rest []transcript.Event, what string) {
	after, isResult := strings.CutPrefix(e.Note, "service result ")
	switch {
	case e.Note == "broadcast":
		request := firstRequest(r.t, rest)
		go r.srv.Broadcast(request, 2*time.Second)
		r.asked = true
	case isResult && after != `{"ok":true}`:
		select {
		case answer := <-r.answers:
			assert.JSONEq(r.t, after, answer, what)
		case <-time.After(3 * time.Second):
			require.FailNow(r.t, "the request did not end", what)
		}
	}
}

// firstRequest returns the data of the server's next request.
func firstRequest(t *testing.T, events []transcript.Event) json.RawMessage {
	t.Helper()
	for _, e := range events {
		if e.Dir == transcript.Server && e.Frame == transcript.Text {
			return requestData(t, e)
		}
	}
	require.FailNow(t, "no request follows")
	return nil
}

// requestData returns the data of a request, nil if the frame is none.
func requestData(t *testing.T, e transcript.Event) json.RawMessage {
	t.Helper()
	raw, err := e.Bytes()
	require.NoError(t, err)
	var f frame
	require.NoError(t, json.Unmarshal(raw, &f))
	if f.Meta.MsgType != "zwsx.rqc" {
		return nil
	}
	if f.Data == nil {
		return json.RawMessage("null")
	}
	return f.Data
}

// act does what the client did.
func (r *replay) act(e transcript.Event, what string) {
	p := r.peers[e.Conn]
	var err error
	switch e.Frame {
	case transcript.Text:
		err = p.ws.WriteMessage(websocket.TextMessage, r.bytes(e))
		r.asked = r.asked || strings.Contains(string(e.Payload), "my.invoke-back")
	case transcript.Ping:
		err = p.ws.WriteControl(websocket.PingMessage, r.bytes(e), time.Now().Add(time.Minute))
	case transcript.Pong:
		err = p.ws.WriteControl(websocket.PongMessage, r.bytes(e), time.Now().Add(time.Minute))
	case transcript.Close:
		var d transcript.Details
		d, err = e.Details()
		require.NoError(r.t, err, what)
		payload := websocket.FormatCloseMessage(d.Code, d.Reason)
		err = p.ws.WriteControl(websocket.CloseMessage, payload, time.Now().Add(time.Minute))
	case transcript.EOF:
		err = p.ws.NetConn().Close()
		require.Equal(r.t, transcript.EOF, p.next(r.t).kind, what)
	default:
		require.FailNow(r.t, "unknown action of the client", what)
	}
	require.NoError(r.t, err, what)
}

// bytes returns what the client sends, with the ids of the live server.
func (r *replay) bytes(e transcript.Event) []byte {
	raw, err := e.Bytes()
	require.NoError(r.t, err)
	return idPattern.ReplaceAllFunc(raw, func(id []byte) []byte {
		if live, known := r.swap[string(id)]; known {
			return []byte(live)
		}
		return id
	})
}

func (r *replay) silence(conn string, d time.Duration, what string) {
	select {
	case h := <-r.peers[conn].inbox:
		require.FailNow(r.t, "silence was recorded", "%s: %s", what, h)
	case <-time.After(d):
	}
}

// expect requires the server to do what it did.
func (r *replay) expect(e transcript.Event, rest []transcript.Event, what string) {
	if e.Frame == transcript.Open {
		r.open(e, what)
		return
	}
	if e.Frame == transcript.Text {
		r.provoke(e, rest)
	}
	p := r.peers[e.Conn]
	h := p.next(r.t)
	require.Equal(r.t, e.Frame, h.kind, "%s: got %s", what, h)
	switch e.Frame {
	case transcript.EOF:
	case transcript.Close:
		d, err := e.Details()
		require.NoError(r.t, err)
		assert.Equal(r.t, d.Code, h.code, what)
		assert.Equal(r.t, d.Reason, h.reason, what)
	default:
		r.compare(e, h.bytes, what)
	}
}

func (r *replay) open(e transcript.Event, what string) {
	d, err := e.Details()
	require.NoError(r.t, err, what)
	p := &peer{inbox: make(chan heard, 1000)}
	dialer := websocket.Dialer{}
	conn, err := r.network.Dial(r.t.Context(), "tcp", r.srv.Addr())
	require.NoError(r.t, err, what)
	p.wire = &holdingConn{Conn: conn}
	dialer.NetDialContext = p.wire.self
	p.listen(r.t, upgrade(r.t, dialer, r.srv.URL(d.Path)))
	r.peers[e.Conn] = p
}

// provoke makes the server send a request that is expected next.
func (r *replay) provoke(e transcript.Event, rest []transcript.Event) {
	data := requestData(r.t, e)
	if data == nil {
		return
	}
	if r.asked {
		r.asked = false
		return
	}
	require.NotEmpty(r.t, rest)
	go func() {
		answer, err := r.srv.Request(context.WithoutCancel(r.t.Context()), "client.a", data, 2*time.Second)
		if err != nil {
			answer, _ = json.Marshal(err.Error())
		}
		r.answers <- fmt.Sprintf(`{"client_responded_with":%s}`, answer)
	}()
}

var (
	timePattern = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}`)
	// idPattern finds what differs between two runs.
	idPattern = regexp.MustCompile(
		`zwsxt\.[0-9a-f]+|zpsm[0-9a-f]+|zpsk\.wsx\.client\.\w+\.[0-9a-f]{1,6}\b|` +
			`ws\.[0-9a-f]{20,}|\b[0-9a-f]{20,24}\b|127\.0\.0\.1:\d+`)
)

// names numbers ids in the order in which they are first seen.
type names map[string]int

func (n names) of(id string) string {
	if _, seen := n[id]; !seen {
		n[id] = len(n) + 1
	}
	return fmt.Sprintf("<%d>", n[id])
}

func (n names) normal(frame string) string {
	return timePattern.ReplaceAllString(idPattern.ReplaceAllStringFunc(frame, n.of), "TIME")
}

// compare requires a frame to be the recorded one, byte by byte, but for ids and
// times.
func (r *replay) compare(e transcript.Event, got []byte, what string) {
	want, err := e.Bytes()
	require.NoError(r.t, err)
	recordedIDs := idPattern.FindAllString(string(want), -1)
	liveIDs := idPattern.FindAllString(string(got), -1)
	if len(recordedIDs) == len(liveIDs) {
		for i, id := range recordedIDs {
			r.swap[id] = liveIDs[i]
		}
	}
	require.Equal(r.t, r.recorded.normal(string(want)), r.live.normal(string(got)), what)
	r.compareTimes(want, got)
}

// pushedTimes are the times of a pushed message.
type pushedTimes struct {
	Expiration     int64  `json:"expiration"`
	ExpirationTime string `json:"expiration_time_iso"`
	PubTime        string `json:"pub_time_iso"`
}

// compareTimes requires that what holds between times holds on both sides.
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
			assert.Equal(r.t, time.Duration(m.Expiration)*time.Second, expires.Sub(published))
		}
	}
}
