package wsxtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/zato-connect/zato-connect/internal/testkit/portlock"
)

// Server is a Zato server with WebSocket channels. Its methods are safe for
// concurrent use.
type Server struct {
	// Set by options. Only services and the secrets of channels change after NewServer.
	address            string
	network            *Network
	tls                *tls.Config
	channels           map[string]*Channel
	services           map[string]Service
	deliveryInterval   time.Duration
	firstRound         time.Duration // after a subscription
	resumeDelay        time.Duration
	creationDelay      time.Duration
	process            *process // nil if invocations cost nothing
	pushBeforeResponse bool

	broker   *broker
	recorder recorder
	faults   faults
	gate     gate

	// mu guards the fields below, services and the secrets of channels. Nothing
	// blocks while holding it.
	mu          sync.Mutex
	run         *serverRun
	listenAddr  string // kept for Restart
	releasePort func() // releases a port that the system chose
	sessions    map[*session]struct{}
}

// serverRun is the state of a server between Start and Stop.
type serverRun struct {
	http   *http.Server
	cancel context.CancelFunc
	// goroutines is only incremented under the server's mu and while the server
	// runs, so Wait cannot race with Add.
	goroutines sync.WaitGroup
}

// NewServer returns a server with the given options. It does not listen until
// [Server.Start] is called.
func NewServer(opts ...Option) *Server {
	s := &Server{
		channels:         map[string]*Channel{},
		services:         map[string]Service{},
		deliveryInterval: 500 * time.Millisecond,
		broker:           newBroker(),
		releasePort:      func() {},
		sessions:         map[*session]struct{}{},
	}
	for _, opt := range opts {
		opt(s)
	}
	if len(s.channels) == 0 {
		WithChannel(Channel{Username: "user1", Secret: "secret1"})(s)
	}
	setDefault(&s.firstRound, s.deliveryInterval*2/5) // transcripts durable and publish-subscribe
	setDefault(&s.address, "127.0.0.1:0")
	if s.network != nil && s.address == "127.0.0.1:0" {
		s.address = "memory"
	}
	s.listenAddr = s.address
	return s
}

// Start listens and serves connections. It returns an error if the server is
// already running or the address is in use.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run != nil {
		return errors.New("starting the server: it is already running")
	}
	listener, err := s.listen()
	if err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	if err := s.reservePort(listener); err != nil {
		_ = listener.Close() // nobody has used it yet
		return fmt.Errorf("starting the server: %w", err)
	}
	s.listenAddr = listener.Addr().String()
	listener = gatedListener{listener, &s.gate}
	if s.tls != nil {
		conf := s.tls.Clone()
		conf.NextProtos = []string{"http/1.1"} // WebSocket needs it
		listener = tls.NewListener(listener, conf)
	}
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // the root context of the server
	run := &serverRun{cancel: cancel}
	run.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	s.run = run
	run.goroutines.Go(func() { _ = run.http.Serve(listener) }) // Serve always returns an error
	return nil
}

// listen opens the listener. Neither kind of network blocks.
func (s *Server) listen() (net.Listener, error) {
	if s.network != nil {
		return s.network.Listen(s.listenAddr)
	}
	var conf net.ListenConfig
	return conf.Listen(context.Background(), "tcp", s.listenAddr) //nolint:forbidigo // it does not block
}

// reservePort reserves a port that the system chose, so that Restart gets it
// again. The system could otherwise give it to another server or use it as the
// local port of a connection.
func (s *Server) reservePort(l net.Listener) error {
	if _, port, _ := net.SplitHostPort(s.listenAddr); port != "0" || s.network != nil {
		return nil
	}
	release, err := portlock.Reserve(l)
	if err == nil {
		s.releasePort = release
	}
	return err
}

// Stop simulates a crash. It closes the listener, cuts all connections without
// close frames and waits for all goroutines. Subscriptions and guaranteed messages are
// kept for [Server.Restart]; messages in memory are lost if they were waiting for a
// connection.
func (s *Server) Stop() {
	s.mu.Lock()
	run := s.run
	s.run = nil
	sessions := s.connectionsLocked()
	s.mu.Unlock()
	if run == nil {
		return
	}
	s.broker.stop()
	run.cancel()
	_ = run.http.Close() // a crash reports no error
	for _, c := range sessions {
		c.closeAbruptly()
	}
	run.goroutines.Wait()
	s.broker.restart()
}

// Restart starts a stopped server again, at the same address.
func (s *Server) Restart() error {
	return s.Start()
}

// Close stops the server, waits for all goroutines and releases the port. It may
// be called more than once.
func (s *Server) Close() {
	s.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releasePort()
}

// Addr returns the address that the server listens on. It does not change when
// the server is stopped.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listenAddr
}

// URL returns the URL of a path, for example ws://127.0.0.1:40123/my.wsx.
func (s *Server) URL(path string) string {
	if s.tls != nil {
		return "wss://" + s.Addr() + path
	}
	return "ws://" + s.Addr() + path
}

func (s *Server) currentSecret(ch *Channel) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ch.Secret
}

// serve upgrades a connection and runs its session.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	ch := s.channels[r.URL.Path]
	if ch == nil {
		http.NotFound(w, r)
		return
	}
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has sent the response
	}
	c := newSession(s, ch, ws)
	release := s.register(c)
	if release == nil {
		c.closeAbruptly()
		return
	}
	defer release()
	c.run(r.Context())
}

// register adds a connection to the server and returns a function that removes
// it. It returns nil if the server is stopped.
func (s *Server) register(c *session) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := s.run
	if run == nil {
		return nil
	}
	run.goroutines.Add(1)
	s.sessions[c] = struct{}{}
	return func() {
		s.mu.Lock()
		delete(s.sessions, c)
		s.mu.Unlock()
		run.goroutines.Done()
	}
}

// connectionsLocked returns the open connections. The caller holds mu.
func (s *Server) connectionsLocked() []*session {
	all := make([]*session, 0, len(s.sessions))
	for c := range s.sessions {
		all = append(all, c)
	}
	return all
}

// connections returns the open connections, logged in or not.
func (s *Server) connections() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connectionsLocked()
}

// loggedInSessions returns the connections that are logged in.
func (s *Server) loggedInSessions() []*session {
	var sessions []*session
	for _, c := range s.connections() {
		if c.inState(stateOpen) {
			sessions = append(sessions, c)
		}
	}
	return sessions
}
