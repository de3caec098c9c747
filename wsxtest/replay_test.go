package wsxtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
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

// recordingCount is the number of recordings. It guards against a lost one.
const recordingCount = 67

func TestTranscriptsReplay(t *testing.T) {
	all, err := transcript.LoadAll("testdata/transcripts")
	require.NoError(t, err)
	require.Len(t, all, recordingCount)
	for name, recorded := range all {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, name, recorded.Scenario)
			require.NotEmpty(t, recorded.Events)
			synctest.Test(t, func(t *testing.T) { newReplay(t, recordedServers[name], recorded.Events).run(recorded.Events) })
		})
	}
}

// tolerance is how much earlier or later than recorded an event may come: a little
// more than one round of delivery.
const tolerance = 700 * time.Millisecond

// replay plays the client of a recording and compares the server's frames with the
// recorded ones.
type replay struct {
	t       *testing.T
	srv     *wsxtest.Server
	network *wsxtest.Network
	peers   map[string]*peer

	// recordedNames and liveNames number the ids on either side in the order of
	// their appearance. So frames can be compared byte by byte, and an id that the
	// recorded server used twice must be used twice by the live server.
	recordedNames, liveNames idNames
	// liveIDs maps recorded ids to live ones. The frames of the client need it.
	liveIDs map[string]string

	recorded    recordedServer
	badRequests []string // of the recordedServer; those that have not come yet

	// early has the pushes of each connection that came before others.
	early map[string][]event

	// responses receives the results of requests that the replay triggered.
	responses chan string
	// triggered is set if the next request of the server needs no trigger, because
	// a service or a broadcast sends it.
	triggered bool
}

func newReplay(t *testing.T, recorded recordedServer, events []transcript.Event) *replay {
	t.Helper()
	r := &replay{
		t: t, network: wsxtest.NewNetwork(), peers: map[string]*peer{},
		recordedNames: idNames{}, liveNames: idNames{}, liveIDs: map[string]string{},
		early: map[string][]event{}, responses: make(chan string, 1),
		recorded: recorded, badRequests: recorded.badRequests,
	}
	options := []wsxtest.Option{
		wsxtest.WithNetwork(r.network), wsxtest.WithTranscriptServer(), wsxtest.WithResumeDelay(240 * time.Millisecond),
	}
	for _, name := range recorded.scripted {
		options = append(options, wsxtest.WithService(name, r.scriptedService(events, name)))
	}
	r.srv = wsxtest.NewServer(append(options, recorded.options...)...)
	require.NoError(t, r.srv.Start())
	t.Cleanup(r.srv.Close)
	if recorded.otherSubscriber != "" {
		p := dial(t, r.srv, patched, r.network).logIn(t, nil)
		p.subscribe(t, recorded.otherSubscriber, nil)
		<-time.After(3 * time.Second)
	}
	return r
}

func (r *replay) run(events []transcript.Event) {
	t := r.t
	began := time.Now()
	last := began
	for i, e := range events {
		if act := r.recorded.before[i+1]; act != nil {
			act(r.srv)
		}
		previous := e
		if i > 0 {
			previous = events[i-1]
		}
		gap := max(0, e.Offset()-previous.Offset())
		description := fmt.Sprintf("event %d: t=%v %s %s %s %s %s", i+1, e.Seconds, e.Conn, e.Dir, e.Frame, e.Payload, e.Note)
		switch {
		case e.Note != "":
			r.playNote(e, events[i+1:], description)
		case e.Frame == transcript.Open:
			<-time.After(e.Offset() - time.Since(began))
			r.open(e, description)
		case e.Dir == transcript.Client:
			<-time.After(e.Offset() - time.Since(began))
			p := r.peers[e.Conn]
			require.NotNil(t, p, description)
			corked := i+1 < len(events) && sameSegment(e, events[i+1])
			if corked {
				p.conn.cork()
			}
			r.playClient(e, description)
			if !corked {
				require.NoError(t, p.conn.uncork(), description)
				synctest.Wait()
			}
		case e.Frame == transcript.Silence:
			d, err := e.Details()
			require.NoError(r.t, err)
			r.requireSilence(e.Conn, time.Duration(d.Seconds*float64(time.Second)), description)
		default:
			r.playServer(e, events[i+1:], description)
			assert.InDelta(r.t, gap, time.Since(last), float64(tolerance), "%s: not at the recorded time", description)
		}
		last = time.Now()
	}
	synctest.Wait()
	for name, p := range r.peers {
		require.Empty(t, r.early[name], "the server sent more than was recorded")
		select {
		case ev := <-p.events:
			require.FailNow(r.t, "the server sent more than was recorded", "%s: %s", name, ev)
		default:
		}
	}
}

// sameSegment reports whether the client sent two frames at once.
func sameSegment(a, b transcript.Event) bool {
	return a.Conn == b.Conn && b.Dir == transcript.Client && a.Offset() == b.Offset() && b.Frame != transcript.EOF
}

// playNote handles a comment: it starts a broadcast, or compares the result of a
// request.
func (r *replay) playNote(e transcript.Event, rest []transcript.Event, description string) {
	after, isResult := strings.CutPrefix(e.Note, "service result ")
	switch {
	case strings.HasPrefix(e.Note, "the server is "):
		end := slices.IndexFunc(rest, func(e transcript.Event) bool { return e.Frame == transcript.EOF })
		go r.restart(rest[end].Offset() - e.Offset())
	case r.recorded.notes[firstWords(e.Note)] != nil:
		r.recorded.notes[firstWords(e.Note)](r.srv)
	case strings.HasPrefix(e.Note, "the channel is "):
		go r.closeAll(rest[0].Offset() - e.Offset())
	case e.Note == "broadcast":
		request := firstRequest(r.t, rest)
		go r.srv.Broadcast(request, 2*time.Second)
		r.triggered = true
	case isResult && after != `{"ok":true}`:
		select {
		case answer := <-r.responses:
			assert.JSONEq(r.t, after, answer, description)
		case <-time.After(3 * time.Second):
			require.FailNow(r.t, "the request did not end", description)
		}
	}
}

// firstWords returns the first four words of a note.
func firstWords(note string) string {
	words := strings.Fields(note)
	return strings.Join(words[:min(len(words), 4)], " ")
}

// restart stops the server after a delay and starts it again.
func (r *replay) restart(delay time.Duration) {
	<-time.After(delay)
	r.srv.Stop()
	assert.NoError(r.t, r.srv.Restart())
}

// closeAll closes all connections after a delay, as a change of their channel does.
func (r *replay) closeAll(delay time.Duration) {
	<-time.After(delay)
	r.srv.Disconnect(1001, "Server is shutting down")
}

// firstRequest returns the data of the first request of the server in events.
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

// requestData returns the data of a request, nil if the event is not a request.
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

// playClient does what the client of the recording did.
func (r *replay) playClient(e transcript.Event, description string) {
	p := r.peers[e.Conn]
	var err error
	switch e.Frame {
	case transcript.Binary:
		err = p.ws.WriteMessage(websocket.BinaryMessage, r.clientBytes(e))
	case transcript.Text:
		err = p.ws.WriteMessage(websocket.TextMessage, r.clientBytes(e))
		r.triggered = r.triggered || strings.Contains(string(e.Payload), "my.invoke-back")
	case transcript.Ping:
		err = p.ws.WriteControl(websocket.PingMessage, r.clientBytes(e), time.Now().Add(time.Minute))
	case transcript.Pong:
		err = p.ws.WriteControl(websocket.PongMessage, r.clientBytes(e), time.Now().Add(time.Minute))
	case transcript.Close:
		var d transcript.Details
		d, err = e.Details()
		require.NoError(r.t, err, description)
		payload := websocket.FormatCloseMessage(d.Code, d.Reason)
		err = p.ws.WriteControl(websocket.CloseMessage, payload, time.Now().Add(time.Minute))
	case transcript.EOF:
		err = p.ws.NetConn().Close()
		require.Equal(r.t, transcript.EOF, p.next(r.t).kind, description)
	default:
		require.FailNow(r.t, "unknown action of the client", description)
	}
	require.NoError(r.t, err, description)
}

// clientBytes returns the bytes of a client's frame, with the ids of the live server.
func (r *replay) clientBytes(e transcript.Event) []byte {
	raw, err := e.Bytes()
	require.NoError(r.t, err)
	return idPattern.ReplaceAllFunc(raw, func(id []byte) []byte {
		if live, known := r.liveIDs[string(id)]; known {
			return []byte(live)
		}
		return id
	})
}

func (r *replay) requireSilence(conn string, d time.Duration, description string) {
	select {
	case ev := <-r.peers[conn].events:
		require.FailNow(r.t, "silence was recorded", "%s: %s", description, ev)
	case <-time.After(d):
	}
}

// playServer requires the server to do what the recorded server did.
func (r *replay) playServer(e transcript.Event, rest []transcript.Event, description string) {
	if e.Frame == transcript.Text {
		r.triggerRequest(e, rest)
	}
	ev := r.next(e)
	require.Equal(r.t, e.Frame, ev.kind, "%s: got %s", description, ev)
	switch e.Frame {
	case transcript.EOF:
	case transcript.Close:
		d, err := e.Details()
		require.NoError(r.t, err)
		assert.Equal(r.t, d.Code, ev.code, description)
		assert.Equal(r.t, d.Reason, ev.reason, description)
	default:
		r.compare(e, ev.bytes, description)
	}
}

// next returns the next event of a connection. If the recorded one is a push to a
// subscription, pushes to others may come before: the server orders them by chance.
func (r *replay) next(e transcript.Event) event {
	wanted := r.pushedTo(e)
	early := r.early[e.Conn]
	for i, ev := range early {
		if wanted != nil && bytes.Contains(ev.bytes, wanted) {
			r.early[e.Conn] = slices.Delete(early, i, i+1)
			return ev
		}
	}
	for {
		ev := r.peers[e.Conn].next(r.t)
		if wanted == nil || ev.kind != transcript.Text || bytes.Contains(ev.bytes, wanted) ||
			!bytes.Contains(ev.bytes, []byte("zwsx.psrq")) {
			return ev
		}
		r.early[e.Conn] = append(r.early[e.Conn], ev)
	}
}

// pushedTo returns the live key of the subscription that a recorded push is for, nil if
// the event is something else.
func (r *replay) pushedTo(e transcript.Event) []byte {
	key := subKeyPattern.FindSubmatch(e.Payload)
	if key == nil || e.Frame != transcript.Text || !bytes.Contains(e.Payload, []byte("zwsx.psrq")) {
		return nil
	}
	if live := r.liveIDs[string(key[1])]; live != "" {
		return fmt.Appendf(nil, `"sub_key": %q`, live)
	}
	return nil
}

func (r *replay) open(e transcript.Event, description string) {
	d, err := e.Details()
	require.NoError(r.t, err, description)
	p := &peer{events: make(chan event, 1000)}
	dialer := websocket.Dialer{}
	conn, err := r.network.Dial(r.t.Context(), "tcp", r.srv.Addr())
	require.NoError(r.t, err, description)
	p.conn = &corkedConn{Conn: conn}
	dialer.NetDialContext = p.conn.dial
	p.listen(r.t, upgrade(r.t, dialer, r.srv.URL(d.Path)))
	r.peers[e.Conn] = p
}

// triggerRequest makes the server send a request, if the recording expects one next
// that nothing else triggers.
func (r *replay) triggerRequest(e transcript.Event, rest []transcript.Event) {
	data := requestData(r.t, e)
	if data == nil {
		return
	}
	if r.triggered {
		r.triggered = false
		return
	}
	require.NotEmpty(r.t, rest)
	go func() {
		answer, err := r.srv.Request(context.WithoutCancel(r.t.Context()), "client.a", data, 2*time.Second)
		if err != nil {
			answer, _ = json.Marshal(err.Error())
		}
		r.responses <- fmt.Sprintf(`{"client_responded_with":%s}`, answer)
	}()
}
