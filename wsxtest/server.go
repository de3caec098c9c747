package wsxtest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Server is a simulated Zato server. Its methods may be called at any time from
// any goroutine; the faults work on the connections of the moment.
type Server struct {
	address          string
	network          *Network
	tls              *tls.Config
	channels         map[string]*Channel
	services         map[string]Service
	anyTopic         bool
	deliveryInterval time.Duration
	handover         time.Duration
	resumeTime       time.Duration
	pushFirst        bool
	repeats          bool

	faults  faults
	account account
	running sync.WaitGroup

	// mu guards what follows. Nothing that can block happens under it.
	mu       sync.Mutex
	listener net.Listener
	bound    string // the address in use, kept over a restart
	sessions map[*Session]struct{}
	topics   map[string]*topic
	subs     map[string]*subscription
	seq      uint64
}

// NewServer makes a server. Start starts it.
func NewServer(opts ...Option) *Server {
	s := &Server{
		address:          "127.0.0.1:0",
		channels:         map[string]*Channel{},
		services:         map[string]Service{},
		deliveryInterval: 500 * time.Millisecond,
		handover:         300 * time.Millisecond,
		sessions:         map[*Session]struct{}{},
		topics:           map[string]*topic{},
		subs:             map[string]*subscription{},
	}
	for _, opt := range opts {
		opt(s)
	}
	if len(s.channels) == 0 {
		WithChannel(Channel{Path: "/zato.wsx.gateway", Username: "user1", Secret: "secret1"})(s)
	}
	return s
}

// Start listens.
func (s *Server) Start() error {
	l, err := s.listen()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return errors.Join(errors.New("the server runs already"), l.Close())
	}
	s.listener, s.bound = l, l.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second}
	s.running.Go(func() {
		_ = server.Serve(l)
		_ = server.Close()
	})
	return nil
}

func (s *Server) listen() (net.Listener, error) {
	if s.network != nil {
		return s.network.listen()
	}
	s.mu.Lock()
	address := s.address
	if s.bound != "" {
		address = s.bound
	}
	s.mu.Unlock()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address) //nolint:forbidigo // listening cannot be waited for
	if err != nil || s.tls == nil {
		return l, err
	}
	return tls.NewListener(l, s.tls), nil
}

// Stop ends the server as a crash does: connections are cut, queues in memory
// are lost, guaranteed ones and subscriptions that are durable stay. Restart
// continues.
func (s *Server) Stop() {
	s.mu.Lock()
	l := s.listener
	s.listener = nil
	s.mu.Unlock()
	if l != nil {
		_ = l.Close()
	}
	s.Cut()
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		sub.forgetMemory()
	}
}

// Restart starts a stopped server at the same address.
func (s *Server) Restart() error { return s.Start() }

// Close stops the server for good and waits for all of its goroutines.
func (s *Server) Close() { s.Stop() }

// Addr is the address the server listens at.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bound
}

// URL is the address of a channel.
func (s *Server) URL(path string) string {
	scheme := "ws"
	if s.tls != nil {
		scheme = "wss"
	}
	return scheme + "://" + s.Addr() + path
}

// SetSecret changes the secret of a channel, for logins to come.
func (s *Server) SetSecret(path, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.channels[path]; ch != nil {
		ch.Secret = secret
	}
}

// serve is the life of one TCP connection after its HTTP request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	ch := s.channels[r.URL.Path]
	stopped := s.listener == nil
	s.mu.Unlock()
	if ch == nil || stopped {
		http.NotFound(w, r)
		return
	}
	upgrader := websocket.Upgrader{ReadBufferSize: 4096, WriteBufferSize: 4096}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	session := newSession(s, ch, conn)
	if !s.admit(session) {
		_ = conn.Close()
		return
	}
	defer s.dismiss(session)
	session.run()
}

// admit counts a connection in, unless the server is being stopped.
func (s *Server) admit(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return false
	}
	s.sessions[session] = struct{}{}
	s.running.Add(1)
	return true
}

// dismiss counts a connection out and does with its subscriptions what Zato
// does when a connection has ended.
func (s *Server) dismiss(session *Session) {
	s.mu.Lock()
	delete(s.sessions, session)
	now := time.Now()
	for key, sub := range s.subs {
		sub.lose(session)
		if sub.holder == session {
			sub.holder, sub.left, sub.switchAt = nil, session, now.Add(s.handover)
			if !sub.durable {
				delete(s.subs, key)
			}
		}
	}
	s.mu.Unlock()
	s.running.Done()
}

// each calls do for every connection that has a session.
func (s *Server) each(do func(*Session)) {
	s.mu.Lock()
	var all []*Session
	for session := range s.sessions {
		all = append(all, session)
	}
	s.mu.Unlock()
	for _, session := range all {
		do(session)
	}
}

// secretOf reads a channel's credentials, which SetSecret may change.
func (s *Server) secretOf(ch *Channel) (username, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ch.Username, ch.Secret
}

// newID makes an id of the server's kind.
func newID(prefix string) string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return prefix + hex.EncodeToString(b)
}

// iso formats a time as the server does.
func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") }

// errGone ends a connection without a word.
var errGone = errors.New("the connection is to end")
