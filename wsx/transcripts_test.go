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

// TestTranscriptsDriveTheClient plays the server's side of every recording, with
// the recorded frames, while the client does what the recorded one did.
func TestTranscriptsDriveTheClient(t *testing.T) {
	all, err := transcript.LoadAll("../wsxtest/testdata/transcripts")
	require.NoError(t, err)
	require.Len(t, all, 23)
	for _, recorded := range all {
		conns := map[string][]transcript.Event{}
		for _, e := range recorded.Events {
			conns[e.Conn] = append(conns[e.Conn], e)
		}
		delete(conns, "") // notes
		for conn, events := range conns {
			t.Run(recorded.Scenario+"/"+conn, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { newStage(t, events).play(events) })
			})
		}
	}
}

// stage is a scripted server and the client that talks to it.
type stage struct {
	t      *testing.T
	config wsx.Config
	client *wsx.Client
	wanted sync.WaitGroup // whoever waits for the client to be ready
	peers  chan *websocket.Conn
	peer   *websocket.Conn
	// frames are the client's, ended is why there are no more.
	frames chan clientFrame
	ended  chan error
	// live maps recorded ids of the client to those of this run.
	live map[string]string
	// result is what came of the call that was made last; nil while none was.
	result  chan outcome
	replies chan json.RawMessage
	pongs   chan string
	goodbye chan error
}

type outcome struct {
	resp *wsx.Response
	err  error
}

// clientFrame is what is looked at of a client's frame.
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

// serverFrame is what is looked at of a server's frame.
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

func newStage(t *testing.T, events []transcript.Event) *stage {
	t.Helper()
	s := &stage{
		t: t, peers: make(chan *websocket.Conn, 1), live: map[string]string{},
		replies: make(chan json.RawMessage, 10), pongs: make(chan string, 10),
	}
	network := wsxtest.NewNetwork()
	listener, err := network.Listen("zato")
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if assert.NoError(t, err) {
			s.peers <- conn
		}
	}))
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	server.Start()

	s.config = wsx.Config{
		Address: "ws://zato/my.wsx", ClientID: "client.x", Username: "user1", Secret: "secret1", Dial: network.Dial,
		OnRequest: s.onRequest, PingInterval: time.Hour,
		CallsPerConnection: 3, PrefetchCount: 10, CallTimeout: time.Hour,
	}
	s.configure(events)
	t.Cleanup(func() {
		s.leave()
		server.Close()
	})
	return s
}

// enter makes a client and lets it connect.
func (s *stage) enter() {
	var err error
	s.client, err = wsx.New(s.config)
	require.NoError(s.t, err)
	s.goodbye = nil
	client := s.client
	s.wanted.Go(func() {
		for client.AwaitReady(context.Background()) != nil {
			if state, _ := client.State(); state == wsx.Stopped {
				return
			}
			<-time.After(time.Second)
		}
	})
}

// leave ends the client and whatever connection it still opened.
func (s *stage) leave() {
	if s.peer != nil {
		_ = s.peer.Close()
	}
	if s.client != nil {
		_ = s.client.Close()
	}
	s.wanted.Wait()
	synctest.Wait()
	select {
	case late := <-s.peers:
		_ = late.Close()
	default:
	}
}

// configure takes the recorded login over.
func (s *stage) configure(events []transcript.Event) {
	cfg := &s.config
	for _, e := range events {
		raw, err := e.Bytes()
		var f clientFrame
		if err != nil || e.Dir != transcript.Client || json.Unmarshal(raw, &f) != nil || f.Meta.Action != "create-session" {
			continue
		}
		cfg.ClientID, cfg.Username, cfg.Secret = f.Meta.ClientID, f.Meta.Username, wsx.Secret(f.Meta.Secret)
		if json.Unmarshal(f.Meta.Name, &cfg.ClientName) != nil {
			cfg.ClientName = "My a" // an object was recorded
		}
		cfg.Attributes = map[string]string{}
		for line := range strings.Lines(f.Meta.Attrs) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			cfg.Attributes[key] = value
		}
		return
	}
}

func (s *stage) onRequest(ctx context.Context, _ *wsx.ServerRequest) (any, error) {
	select {
	case reply := <-s.replies:
		return reply, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *stage) play(events []transcript.Event) {
	for i, e := range events {
		switch {
		case e.Frame == transcript.Open:
			s.accept()
		case e.Dir == transcript.Client:
			s.clientEvent(&e)
		case e.Frame != transcript.Silence:
			s.serverEvent(&e)
		}
		if s.t.Failed() {
			s.t.Fatalf("event %d: %s %s %s", i, e.Dir, e.Frame, e.Payload)
		}
	}
}

// accept waits for the client's next connection, of a new client if the last one
// has said goodbye.
func (s *stage) accept() {
	if s.client == nil || s.goodbye != nil {
		s.enter()
	}
	if s.peer != nil {
		_ = s.peer.Close()
	}
	select {
	case s.peer = <-s.peers:
	case <-time.After(time.Hour):
		require.Fail(s.t, "the client did not connect")
	}
	s.peer.SetPongHandler(func(payload string) error { s.pongs <- payload; return nil })
	s.peer.SetCloseHandler(func(int, string) error { return nil })
	s.frames, s.ended = make(chan clientFrame, 10), make(chan error, 1)
	go readFrames(s.peer, s.frames, s.ended)
}

func readFrames(peer *websocket.Conn, frames chan<- clientFrame, ended chan<- error) {
	for {
		_, raw, err := peer.ReadMessage()
		var f clientFrame
		if err == nil {
			err = json.Unmarshal(raw, &f)
		}
		if err != nil {
			ended <- err
			return
		}
		frames <- f
	}
}

// read returns the next frame of the client.
func (s *stage) read() clientFrame {
	select {
	case f := <-s.frames:
		assert.NotEmpty(s.t, f.Meta.ID)
		assert.Regexp(s.t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$`, f.Meta.Timestamp)
		return f
	case <-time.After(time.Hour):
		require.Fail(s.t, "the client sent nothing")
		return clientFrame{}
	}
}

// clientEvent makes the client do what was recorded, where a client of good
// manners can do it.
func (s *stage) clientEvent(e *transcript.Event) {
	switch e.Frame {
	case transcript.Text:
		raw, err := e.Bytes()
		require.NoError(s.t, err)
		var recorded clientFrame
		if json.Unmarshal(raw, &recorded) == nil {
			s.clientText(&recorded)
		}
	case transcript.Pong:
		payload, err := e.Bytes()
		require.NoError(s.t, err)
		assert.Equal(s.t, string(payload), <-s.pongs, "byte for byte")
	case transcript.Close:
		s.goodbye = make(chan error, 1)
		go func() { s.goodbye <- s.client.Close() }()
	case transcript.EOF:
		_ = s.peer.Close()
	}
}

func (s *stage) clientText(recorded *clientFrame) {
	switch {
	case recorded.Meta.Action == "create-session" && recorded.Meta.Token == "":
		live := s.read()
		s.live[recorded.Meta.ID] = live.Meta.ID
		assert.Equal(s.t, recorded.Meta.Username, live.Meta.Username)
		assert.Equal(s.t, recorded.Meta.Secret, live.Meta.Secret)
		assert.Equal(s.t, recorded.Meta.ClientID, live.Meta.ClientID)
		assert.ElementsMatch(s.t, strings.Fields(recorded.Meta.Attrs), strings.Fields(live.Meta.Attrs))
	case recorded.Meta.Action == "client-response":
		s.respond(recorded)
	case recorded.Meta.Action != "" && recorded.Meta.ID != "" && recorded.Meta.Timestamp != "" &&
		len(recorded.Meta.Token) > len("zwsxt.0000") && recorded.Meta.Action != "create-session":
		s.invoke(recorded)
	}
}

// respond answers the server's request as recorded.
func (s *stage) respond(recorded *clientFrame) {
	var wrapped struct {
		Response json.RawMessage `json:"response"`
	}
	if json.Unmarshal(recorded.Data, &wrapped) != nil {
		wrapped.Response = recorded.Data // a bare value works too
	}
	s.replies <- wrapped.Response
	live := s.read()
	assert.Equal(s.t, recorded.Meta.InReplyTo, live.Meta.InReplyTo)
	assert.Equal(s.t, recorded.Meta.Token, live.Meta.Token)
	expected, err := json.Marshal(map[string]any{"response": wrapped.Response})
	require.NoError(s.t, err)
	assert.JSONEq(s.t, string(expected), string(live.Data))
}

// invoke makes the recorded call.
func (s *stage) invoke(recorded *clientFrame) {
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
	result := make(chan outcome, 1)
	s.result = result
	go func() {
		resp, err := s.client.Call(context.Background(), call)
		result <- outcome{resp, err}
	}()
	live := s.read()
	s.live[recorded.Meta.ID] = live.Meta.ID
	assert.Equal(s.t, "invoke-service", live.Meta.Action)
	assert.Equal(s.t, recorded.Meta.Token, live.Meta.Token)
	if len(recorded.Data) > 0 {
		assert.JSONEq(s.t, string(recorded.Data), string(live.Data))
	}
}

// serverEvent sends what was recorded and checks what the client makes of it.
func (s *stage) serverEvent(e *transcript.Event) {
	raw, err := e.Bytes()
	switch e.Frame {
	case transcript.Text:
		require.NoError(s.t, err)
		text := string(raw)
		for recorded, live := range s.live {
			text = strings.ReplaceAll(text, recorded, live)
		}
		require.NoError(s.t, s.peer.WriteMessage(websocket.TextMessage, []byte(text)))
		synctest.Wait()
		s.check([]byte(text))
	case transcript.Ping:
		require.NoError(s.t, s.peer.WriteMessage(websocket.PingMessage, raw))
	case transcript.Pong:
		require.NoError(s.t, s.peer.WriteMessage(websocket.PongMessage, raw))
	case transcript.Close:
		s.checkClose(e)
	case transcript.EOF:
		_ = s.peer.Close()
		if s.goodbye != nil {
			require.NoError(s.t, <-s.goodbye)
			return
		}
		synctest.Wait()
		assert.False(s.t, s.client.Connected())
	}
}
