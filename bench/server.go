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

// server answers as a Zato server does, as fast as it can: it parses no JSON and
// checks nothing. Package wsxtest is faithful instead.
//
// The path of an address says what its channel does: /zato/1ms is a channel whose
// services take a millisecond, but for the one that is named slow, and /frames sends
// frames to whoever comes, with no session.
type server struct {
	http   *http.Server
	local  net.Listener
	remote net.Listener // the same at a distance
	// clock is for the time that services take, and data on its way.
	clock *preciseTimer
	// readers are connections that are ready for messages.
	readers chan *reader

	// mu guards what follows.
	mu    sync.Mutex
	conns map[*websocket.Conn]struct{}
	away  bool        // nobody is let in
	tries []time.Time // of those who were not
}

// reader is a connection that reads messages.
type reader struct {
	conn *websocket.Conn
}

func startServer(ctx context.Context) (*server, error) {
	near, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	clock, err := newPreciseTimer()
	if err != nil {
		return nil, errors.Join(err, near.Close())
	}
	far, err := putRemote(ctx, near.Addr().String(), clock)
	if err != nil {
		clock.close()
		return nil, errors.Join(err, near.Close())
	}
	s := &server{local: near, remote: far, clock: clock, readers: make(chan *reader, 1), conns: map[*websocket.Conn]struct{}{}}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(near) }() // until it is closed
	return s, nil
}

// url is the address of a channel.
func (s *server) url(path string) string { return fmt.Sprintf("ws://%s%s", s.local.Addr(), path) }

// remoteURL is the address of a channel at a distance.
func (s *server) remoteURL(path string) string {
	return fmt.Sprintf("ws://%s%s", s.remote.Addr(), path)
}

func (s *server) close() {
	_ = s.remote.Close()
	_ = s.http.Close()
	s.clock.close()
}

// ServeHTTP is one connection, from its upgrade to its end.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.refuses() {
		panic(http.ErrAbortHandler) //nolint:forbidigo // how an HTTP server cuts a connection
	}
	upgrader := websocket.Upgrader{WriteBufferSize: 1024}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the client is told
	}
	defer conn.Close() //nolint:errcheck // it has ended
	defer s.enter(conn)()
	if r.URL.Path == "/frames" {
		s.readers <- &reader{conn}
	}
	takes, err := time.ParseDuration(strings.TrimPrefix(r.URL.Path, "/zato/"))
	if err != nil {
		takes = 0
	}
	s.serve(conn, takes)
}

// serve answers requests, one at a time.
func (s *server) serve(conn *websocket.Conn, takes time.Duration) {
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
		kind, data := "zwsx.rspok", responseData
		if string(value(request.Bytes(), `"action":`)) == "create-session" {
			kind, data = "zwsx.rspa", sessionData
		} else {
			s.work(takes, value(request.Bytes(), `"service":`))
		}
		fmt.Fprintf(&answer, answerFormat, kind, value(request.Bytes(), `"id":`), data)
		if err := conn.WriteMessage(websocket.TextMessage, answer.Bytes()); err != nil {
			return
		}
		if bytes.HasSuffix(value(request.Bytes(), `"service":`), []byte("subscribe-wsx")) {
			s.readers <- &reader{conn}
		}
	}
}

// slowService takes slowTime.
const (
	slowService = "slow"
	slowTime    = 10 * time.Second
)

// work takes as long as a service does. Zato's own services, by which a client
// subscribes and publishes, are no slower than others.
func (s *server) work(takes time.Duration, service []byte) {
	if string(service) == slowService {
		takes = slowTime
	}
	if takes > 0 {
		s.clock.await(time.Now().Add(takes))
	}
}

// answerFormat is an answer. What it says of a request is all that anybody asks for: the
// key of a subscription and the id of a message.
const (
	answerFormat = `{"meta": {"id": "12fb4c2d5d0b1981700203b6", "timestamp": "2026-01-01T10:11:12.234567", ` +
		`"msg_type": "%s", "status": 200, "in_reply_to": "%s"}, "data": %s}`
	sessionData  = `{"token": "zwsxt.1"}`
	responseData = `{"response": {"zato_gateway_response": {"sub_key": "zpsk.1", "msg_id": "zpsm1"}}}`
)

// value is the text behind the first place where a name stands in a frame. Some
// clients write a space in front of it.
func value(frame []byte, name string) []byte {
	_, rest, _ := bytes.Cut(frame, []byte(name))
	_, rest, _ = bytes.Cut(rest, []byte{'"'})
	text, _, _ := bytes.Cut(rest, []byte{'"'})
	return text
}

// awaitReader returns the connection that became ready for messages.
func (s *server) awaitReader(ctx context.Context) (*reader, error) {
	select {
	case r := <-s.readers:
		return r, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(10 * time.Second):
		return nil, errors.New("nobody reads messages")
	}
}

// push writes a burst some times. Nobody else writes data to the connection.
func (r *reader) push(b *frameSet, times int) error {
	for range times {
		b.renew()
		if _, err := r.conn.NetConn().Write(b.bytes); err != nil {
			return err
		}
	}
	return nil
}

// cut resets the connection.
func (r *reader) cut() error {
	if tcp, ok := r.conn.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // else it is an ordinary end
	}
	return r.conn.Close()
}

// enter counts a connection in, and returns what counts it out.
func (s *server) enter(conn *websocket.Conn) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[conn] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
	}
}

// refuses tells whether the server is away, and notes the try.
func (s *server) refuses() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		s.tries = append(s.tries, time.Now())
	}
	return s.away
}

// leave ends every connection and lets nobody in.
func (s *server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away, s.tries = true, nil
	for conn := range s.conns {
		_ = (&reader{conn}).cut() // a connection that has ended needs none
	}
}

// comeBack lets everybody in again and returns when it was tried meanwhile.
func (s *server) comeBack() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = false
	return s.tries
}
