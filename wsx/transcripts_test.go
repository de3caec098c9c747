package wsx_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
	"github.com/zato-connect/zato-connect/wsxtest/transcript"
)

// TestClientReplaysTheTranscripts replays the recorded frames of the server in every
// transcript while the client repeats the actions of the recorded client.
func TestClientReplaysTheTranscripts(t *testing.T) {
	all, err := transcript.LoadAll("../wsxtest/testdata/transcripts")
	require.NoError(t, err)
	require.Len(t, all, 67)
	for _, recorded := range all {
		conns := map[string][]transcript.Event{}
		for _, e := range recorded.Events {
			conns[e.Conn] = append(conns[e.Conn], e)
		}
		delete(conns, "") // comments of the transcript
		for conn, events := range conns {
			t.Run(recorded.Scenario+"/"+conn, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { newReplay(t, events).run(events) })
			})
		}
	}
}

// replay is a server that replays one connection of a transcript, and its client.
type replay struct {
	t      *testing.T
	config wsx.Config
	client *wsx.Client

	// awaiting counts the goroutines that call AwaitReady.
	awaiting sync.WaitGroup
	// accepted gets the connections of the client, of which conn is the current one.
	accepted chan *websocket.Conn
	conn     *websocket.Conn
	// frames gets the frames that the client sends over conn. readErr gets the error
	// that ends them.
	frames  chan clientFrame
	readErr chan error
	// liveIDs maps the message ids of the recorded client to those of this one.
	liveIDs map[string]string
	// result gets the result of the latest call. It is nil before the first one.
	result chan callResult
	// requests has the ids of the requests that the server sent.
	requests map[string]bool
	// hungUp is set once the server has sent a close frame of its own.
	hungUp bool
	// responses holds the values with which OnRequest responds.
	responses chan json.RawMessage
	pongs     chan string
	// closeResult gets the result of Client.Close. It is nil before Close is called.
	closeResult chan error
}

// callResult is what Client.Call returned.
type callResult struct {
	resp *wsx.Response
	err  error
}

// clientFrame holds the parts of a frame of the client that the tests use.
type clientFrame struct {
	Meta struct {
		Action    string          `json:"action"`
		ID        string          `json:"id"`
		Timestamp string          `json:"timestamp"`
		Token     string          `json:"token"`
		ClientID  string          `json:"client_id"`
		Name      json.RawMessage `json:"client_name"`
		Username  string          `json:"username"`
		Secret    string          `json:"secret"`
		Attrs     string          `json:"attrs"`
		InReplyTo string          `json:"in_reply_to"`
	} `json:"meta"`
	Data json.RawMessage `json:"data"`
}

// serverFrame holds the parts of a frame of the server that the tests use.
type serverFrame struct {
	Meta struct {
		ID        string `json:"id"`
		MsgType   string `json:"msg_type"`
		Status    int    `json:"status"`
		InReplyTo string `json:"in_reply_to"`
		Error     string `json:"error_message"`
	} `json:"meta"`
	Data json.RawMessage `json:"data"`
}

// newReplay starts the server. The client is started by the first recorded connection.
func newReplay(t *testing.T, events []transcript.Event) *replay {
	t.Helper()
	r := &replay{
		t: t, accepted: make(chan *websocket.Conn, 1), liveIDs: map[string]string{},
		requests: map[string]bool{}, responses: make(chan json.RawMessage, 10), pongs: make(chan string, 10),
	}
	network := wsxtest.NewNetwork()
	listener, err := network.Listen("zato")
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, request, nil)
		if assert.NoError(t, err) {
			r.accepted <- conn
		}
	}))
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	server.Start()

	r.config = wsx.Config{
		Address: "ws://zato/my.wsx", ClientID: "client.x", Username: "user1", Secret: "secret1", Dial: network.Dial,
		OnRequest: r.onRequest, PingInterval: time.Hour,
		CallsPerConnection: 3, PrefetchCount: 10, CallTimeout: time.Hour,
	}
	r.useRecordedLogin(events)
	t.Cleanup(func() {
		r.stopClient()
		server.Close()
	})
	return r
}

// startClient makes a client that connects.
func (r *replay) startClient() {
	var err error
	r.client, err = wsx.New(r.config)
	require.NoError(r.t, err)
	r.closeResult = nil
	client := r.client
	r.awaiting.Go(func() {
		for client.AwaitReady(context.Background()) != nil {
			if state, _ := client.State(); state == wsx.Stopped {
				return
			}
			<-time.After(time.Second)
		}
	})
}

// stopClient closes the client and every connection that it has opened.
func (r *replay) stopClient() {
	if r.conn != nil {
		_ = r.conn.Close()
	}
	if r.client != nil {
		_ = r.client.Close()
	}
	r.awaiting.Wait()
	synctest.Wait()
	select {
	case late := <-r.accepted:
		_ = late.Close()
	default:
	}
}

// useRecordedLogin configures the client as the recorded one logged in.
func (r *replay) useRecordedLogin(events []transcript.Event) {
	cfg := &r.config
	for _, e := range events {
		raw, err := e.Bytes()
		var f clientFrame
		if err != nil || e.Dir != transcript.Client || json.Unmarshal(raw, &f) != nil || f.Meta.Action != "create-session" {
			continue
		}
		cfg.ClientID, cfg.Username, cfg.Secret = f.Meta.ClientID, f.Meta.Username, wsx.Secret(f.Meta.Secret)
		if json.Unmarshal(f.Meta.Name, &cfg.ClientName) != nil {
			cfg.ClientName = "My a" // the recorded client sent an object
		}
		cfg.Attributes = map[string]string{}
		for line := range strings.Lines(f.Meta.Attrs) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			cfg.Attributes[key] = value
		}
		return
	}
}

// onRequest responds with the next recorded response.
func (r *replay) onRequest(ctx context.Context, _ *wsx.ServerRequest) (any, error) {
	select {
	case response := <-r.responses:
		return response, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run replays the events in their order.
func (r *replay) run(events []transcript.Event) {
	for i, e := range events {
		switch {
		case e.Frame == transcript.Open:
			r.acceptConn()
		case e.Dir == transcript.Client:
			r.replayClientEvent(&e)
		case e.Frame != transcript.Silence:
			r.replayServerEvent(&e)
		}
		if r.t.Failed() {
			r.t.Fatalf("event %d: %s %s %s", i, e.Dir, e.Frame, e.Payload)
		}
	}
}

// acceptConn waits for the next connection of the client. If the client was closed, it
// starts a new one.
func (r *replay) acceptConn() {
	if r.client == nil || r.closeResult != nil {
		r.startClient()
	}
	if r.conn != nil {
		_ = r.conn.Close()
	}
	select {
	case r.conn = <-r.accepted:
	case <-time.After(time.Hour):
		require.Fail(r.t, "the client did not connect")
	}
	r.hungUp = false
	r.conn.SetPongHandler(func(payload string) error { r.pongs <- payload; return nil })
	r.conn.SetCloseHandler(func(int, string) error { return nil })
	r.frames, r.readErr = make(chan clientFrame, 10), make(chan error, 1)
	go readFrames(r.conn, r.frames, r.readErr)
}

// readFrames reads frames of the client until an error.
func readFrames(conn *websocket.Conn, frames chan<- clientFrame, readErr chan<- error) {
	for {
		_, raw, err := conn.ReadMessage()
		var f clientFrame
		if err == nil {
			err = json.Unmarshal(raw, &f)
		}
		if err != nil {
			readErr <- err
			return
		}
		frames <- f
	}
}

// nextFrame returns the next frame of the client.
func (r *replay) nextFrame() clientFrame {
	select {
	case f := <-r.frames:
		assert.NotEmpty(r.t, f.Meta.ID)
		assert.Regexp(r.t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$`, f.Meta.Timestamp)
		return f
	case <-time.After(time.Hour):
		require.Fail(r.t, "the client sent nothing")
		return clientFrame{}
	}
}

// replayClientEvent makes the client repeat a recorded action. It skips the invalid frames
// that the recorded client sent to test the server.
func (r *replay) replayClientEvent(e *transcript.Event) {
	switch e.Frame {
	case transcript.Text, transcript.Binary:
		raw, err := e.Bytes()
		require.NoError(r.t, err)
		var recorded clientFrame
		if json.Unmarshal(raw, &recorded) == nil {
			r.replayClientText(&recorded)
		}
	case transcript.Pong:
		payload, err := e.Bytes()
		require.NoError(r.t, err)
		assert.Equal(r.t, string(payload), <-r.pongs, "the pong has the payload of the ping")
	case transcript.Close:
		r.closeResult = make(chan error, 1)
		go func() { r.closeResult <- r.client.Close() }()
	case transcript.EOF:
		_ = r.conn.Close()
	}
}

// replayClientText makes the client send a recorded frame if it is valid.
func (r *replay) replayClientText(recorded *clientFrame) {
	switch {
	case recorded.Meta.Action == "create-session" && recorded.Meta.Token == "":
		live := r.nextFrame()
		r.liveIDs[recorded.Meta.ID] = live.Meta.ID
		assert.Equal(r.t, recorded.Meta.Username, live.Meta.Username)
		assert.Equal(r.t, recorded.Meta.Secret, live.Meta.Secret)
		assert.Equal(r.t, recorded.Meta.ClientID, live.Meta.ClientID)
		assert.ElementsMatch(r.t, strings.Fields(recorded.Meta.Attrs), strings.Fields(live.Meta.Attrs))
	case recorded.Meta.Action == "client-response" && !r.requests[recorded.Meta.InReplyTo]:
		// It answers messages, which this client does not do.
	case recorded.Meta.Action == "client-response":
		r.replayResponse(recorded)
	case recorded.Meta.Action != "" && recorded.Meta.ID != "" && recorded.Meta.Timestamp != "" &&
		len(recorded.Meta.Token) > len("zwsxt.0000") && recorded.Meta.Action != "create-session":
		r.replayCall(recorded)
	}
}

// replayResponse makes the client respond to a request of the server as recorded.
func (r *replay) replayResponse(recorded *clientFrame) {
	var wrapped struct {
		Response json.RawMessage `json:"response"`
	}
	if json.Unmarshal(recorded.Data, &wrapped) != nil {
		wrapped.Response = recorded.Data // the server also accepts a bare value
	}
	r.responses <- wrapped.Response
	live := r.nextFrame()
	assert.Equal(r.t, recorded.Meta.InReplyTo, live.Meta.InReplyTo)
	assert.Equal(r.t, recorded.Meta.Token, live.Meta.Token)
	expected, err := json.Marshal(map[string]any{"response": wrapped.Response})
	require.NoError(r.t, err)
	assert.JSONEq(r.t, string(expected), string(live.Data))
}

// replayCall makes the client call the recorded service.
func (r *replay) replayCall(recorded *clientFrame) {
	var args struct {
		Service string          `json:"service"`
		Request json.RawMessage `json:"request"`
	}
	call := wsx.Call{}
	if json.Unmarshal(recorded.Data, &args) == nil && args.Service != "" {
		call.Service = args.Service
		if args.Request != nil {
			call.Request = args.Request
		}
	} else if recorded.Data != nil {
		call.Request = recorded.Data
	}
	result := make(chan callResult, 1)
	r.result = result
	go func() {
		resp, err := r.client.Call(context.Background(), call)
		result <- callResult{resp, err}
	}()
	live := r.nextFrame()
	r.liveIDs[recorded.Meta.ID] = live.Meta.ID
	assert.Equal(r.t, "invoke-service", live.Meta.Action)
	assert.Equal(r.t, recorded.Meta.Token, live.Meta.Token)
	if len(recorded.Data) > 0 {
		assert.JSONEq(r.t, string(recorded.Data), string(live.Data))
	}
}

// replayServerEvent sends a recorded frame of the server and checks how the client
// handles it.
func (r *replay) replayServerEvent(e *transcript.Event) {
	raw, err := e.Bytes()
	switch e.Frame {
	case transcript.Text:
		if r.hungUp {
			return // the client reads nothing behind a close frame
		}
		require.NoError(r.t, err)
		text := string(raw)
		for recorded, live := range r.liveIDs {
			text = strings.ReplaceAll(text, recorded, live)
		}
		require.NoError(r.t, r.conn.WriteMessage(websocket.TextMessage, []byte(text)))
		synctest.Wait()
		r.expectFrame([]byte(text))
	case transcript.Ping:
		require.NoError(r.t, r.conn.WriteMessage(websocket.PingMessage, raw))
	case transcript.Pong:
		require.NoError(r.t, r.conn.WriteMessage(websocket.PongMessage, raw))
	case transcript.Close:
		r.expectClose(e)
	case transcript.EOF:
		_ = r.conn.Close()
		if r.closeResult != nil {
			require.NoError(r.t, <-r.closeResult)
			return
		}
		synctest.Wait()
		assert.False(r.t, r.client.Connected())
	}
}
