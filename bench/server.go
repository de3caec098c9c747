package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// A server answers as a Zato server does, as fast as it can: it parses no JSON and checks
// nothing. Package wsxtest has the faithful simulation.
//
// The path of an address selects the channel. /zato/1ms is a channel whose services take a
// millisecond, except the one named slow. /frames needs no session and sends frames to
// every client.
type server struct {
	http   *http.Server
	local  net.Listener
	remote net.Listener // the same behind the latency proxy
	// timer times the services and the latency proxy.
	timer *preciseTimer
	// pushConns receives each connection that is ready for messages.
	pushConns chan *pushConn

	// mu guards the fields below.
	mu       sync.Mutex
	conns    map[*websocket.Conn]struct{}
	down     bool        // all connections are refused
	attempts []time.Time // times of the connection attempts while down
}

// A pushConn is the server's end of a connection that receives messages.
type pushConn struct {
	conn *websocket.Conn
}

func startServer(ctx context.Context) (*server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	timer, err := newPreciseTimer()
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	proxy, err := startLatencyProxy(ctx, listener.Addr().String(), timer)
	if err != nil {
		timer.close()
		return nil, errors.Join(err, listener.Close())
	}
	s := &server{
		local: listener, remote: proxy, timer: timer, pushConns: make(chan *pushConn, 1),
		conns: map[*websocket.Conn]struct{}{},
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(listener) }() // returns when the server is closed
	return s, nil
}

// url returns the address of a channel.
func (s *server) url(path string) string { return fmt.Sprintf("ws://%s%s", s.local.Addr(), path) }

// remoteURL returns the address of a channel behind the latency proxy.
func (s *server) remoteURL(path string) string {
	return fmt.Sprintf("ws://%s%s", s.remote.Addr(), path)
}

func (s *server) close() {
	_ = s.remote.Close()
	_ = s.http.Close()
	s.timer.close()
}

// ServeHTTP serves one connection until it ends.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.refuse() {
		panic(http.ErrAbortHandler) //nolint:forbidigo // the way for an HTTP handler to close the connection
	}
	upgrader := websocket.Upgrader{WriteBufferSize: 1024}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered the client
	}
	defer conn.Close() //nolint:errcheck // the connection has ended
	defer s.track(conn)()
	if r.URL.Path == "/frames" {
		s.pushConns <- &pushConn{conn}
	}
	serviceTime, err := time.ParseDuration(strings.TrimPrefix(r.URL.Path, "/zato/"))
	if err != nil {
		serviceTime = 0
	}
	s.serve(conn, serviceTime)
}

// serve answers requests, one at a time.
func (s *server) serve(conn *websocket.Conn, serviceTime time.Duration) {
	var request, answer bytes.Buffer
	for {
		_, r, err := conn.NextReader()
		if err != nil {
			return
		}
		request.Reset()
		answer.Reset()
		if _, err := request.ReadFrom(r); err != nil {
			return
		}
		msgType, data := "zwsx.rspok", responseData
		if string(quotedAfter(request.Bytes(), `"action":`)) == "create-session" {
			msgType, data = "zwsx.rspa", sessionData
		} else {
			s.runService(serviceTime, quotedAfter(request.Bytes(), `"service":`))
		}
		fmt.Fprintf(&answer, answerFormat, msgType, quotedAfter(request.Bytes(), `"id":`), data)
		if err := conn.WriteMessage(websocket.TextMessage, answer.Bytes()); err != nil {
			return
		}
		if bytes.HasSuffix(quotedAfter(request.Bytes(), `"service":`), []byte("subscribe-wsx")) {
			s.pushConns <- &pushConn{conn}
		}
	}
}

// slowService is a service that takes slowTime on every channel.
const (
	slowService = "slow"
	slowTime    = 10 * time.Second
)

// runService waits as long as a service takes. Zato's own services, which clients use to
// subscribe and publish, take no less time than others.
func (s *server) runService(serviceTime time.Duration, service []byte) {
	if string(service) == slowService {
		serviceTime = slowTime
	}
	if serviceTime > 0 {
		s.timer.sleepUntil(time.Now().Add(serviceTime))
	}
}

// answerFormat is the format of an answer. The response is the same for every request. It
// has the two fields that clients read: the key of a subscription and the id of a message.
const (
	answerFormat = `{"meta": {"id": "12fb4c2d5d0b1981700203b6", "timestamp": "2026-01-01T10:11:12.234567", ` +
		`"msg_type": "%s", "status": 200, "in_reply_to": "%s"}, "data": %s}`
	sessionData  = `{"token": "zwsxt.1"}`
	responseData = `{"response": {"zato_gateway_response": {"sub_key": "zpsk.1", "msg_id": "zpsm1"}}}`
)

// quotedAfter returns the first quoted text after the first occurrence of name in a frame.
// Some clients write a space before the text.
func quotedAfter(frame []byte, name string) []byte {
	_, rest, _ := bytes.Cut(frame, []byte(name))
	_, rest, _ = bytes.Cut(rest, []byte{'"'})
	text, _, _ := bytes.Cut(rest, []byte{'"'})
	return text
}

// awaitPushConn waits for a connection to become ready for messages, and returns it.
func (s *server) awaitPushConn(ctx context.Context) (*pushConn, error) {
	select {
	case conn := <-s.pushConns:
		return conn, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(10 * time.Second):
		return nil, errors.New("no connection became ready for messages within 10 seconds")
	}
}

// push writes the frames n times, with new ids each time. The caller must be the only
// one that writes to the connection.
func (c *pushConn) push(frames *frameSet, n int) error {
	for range n {
		frames.renewIDs()
		if _, err := c.conn.NetConn().Write(frames.data); err != nil {
			return err
		}
	}
	return nil
}

// reset resets the connection.
func (c *pushConn) reset() error {
	if tcp, ok := c.conn.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // makes Close send a reset
	}
	return c.conn.Close()
}

// track adds a connection to the open ones. The returned function removes it.
func (s *server) track(conn *websocket.Conn) (untrack func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[conn] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
	}
}

// refuse reports whether the server is down. It records the attempt if so.
func (s *server) refuse() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		s.attempts = append(s.attempts, time.Now())
	}
	return s.down
}

// goDown resets every connection and refuses new ones.
func (s *server) goDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.attempts = true, nil
	for conn := range s.conns {
		_ = (&pushConn{conn}).reset() // fails only if the connection has ended already
	}
}

// comeUp accepts connections again. It returns the times of the attempts since goDown.
func (s *server) comeUp() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = false
	return s.attempts
}
