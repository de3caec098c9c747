// Package zato4test runs a stand-in for a Zato 4.1 server in tests: its REST interface for
// pub/sub, REST channels, and the gateway of zato/zato4. It answers as the recordings in
// testdata do, and fails on command.
package zato4test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Server is a running server. Its methods may be called at any time.
type Server struct {
	// Address is host:port. A restart does not change it.
	Address string

	t           *testing.T
	users       map[string]user
	channels    map[string]channel // by path
	invocable   map[string]Service // by name
	retryDelays []time.Duration
	stop        func()
	pushing     sync.WaitGroup

	// mu guards the fields below.
	mu            sync.Mutex
	topics        map[string]bool
	subscriptions map[string]*subscription // by user
	published     []Message
	sequence      int
	faults        []Fault
}

// user is a security definition of the type Basic Auth with its permissions.
type user struct {
	password           string
	publish, subscribe []string // patterns
}

// channel is a REST channel.
type channel struct {
	username string
	service  Service
}

// Service is a service of the server. It gets the body of a request merged with its query
// parameters, and returns what becomes JSON. An error becomes the status 500.
type Service func(body []byte) (any, error)

// Option configures a server.
type Option func(*Server)

// WithUser adds a user, with the patterns of the topics that it may use.
func WithUser(username, password string, publish, subscribe []string) Option {
	return func(s *Server) { s.users[username] = user{password, publish, subscribe} }
}

// WithTopics adds topics.
func WithTopics(names ...string) Option {
	return func(s *Server) {
		for _, name := range names {
			s.topics[name] = true
		}
	}
}

// WithSubscription subscribes a user to topics. The server pushes the messages to the
// address, unless that is empty.
func WithSubscription(username, pushTo string, topics ...string) Option {
	return func(s *Server) { s.subscribe(username, pushTo, topics) }
}

// WithChannel adds a REST channel that only one user may call.
func WithChannel(path, username string, service Service) Option {
	return func(s *Server) { s.channels[path] = channel{username, service} }
}

// WithInvocable adds a service that the user admin.invoke may invoke by its name.
func WithInvocable(name string, service Service) Option {
	return func(s *Server) { s.invocable[name] = service }
}

// WithRetryDelays replaces the waits between the attempts to push a message. The last one
// applies to all later attempts.
func WithRetryDelays(delays ...time.Duration) Option {
	return func(s *Server) { s.retryDelays = delays }
}

// RetryDelays returns the waits of a real server between its attempts to push a message.
func RetryDelays() []time.Duration {
	return []time.Duration{
		3 * time.Second, 6200 * time.Millisecond, 10300 * time.Millisecond, 10800 * time.Millisecond,
	}
}

// Start starts a server. It is stopped when the test ends.
func Start(t *testing.T, options ...Option) *Server {
	t.Helper()
	s := &Server{
		t: t, Address: "127.0.0.1:0", users: map[string]user{}, channels: map[string]channel{},
		invocable: map[string]Service{}, retryDelays: RetryDelays(),
		topics: map[string]bool{}, subscriptions: map[string]*subscription{},
	}
	for _, option := range options {
		option(s)
	}
	s.Restart()
	t.Cleanup(s.Kill)
	return s
}

// URL returns the address as a URL.
func (s *Server) URL() string { return "http://" + s.Address }

// Restart starts a server that was killed. It keeps its messages and forgets its leases.
func (s *Server) Restart() {
	s.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(s.t.Context(), "tcp", s.Address)
	require.NoError(s.t, err)
	s.Address = listener.Addr().String()
	served := make(chan struct{})
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	var requests sync.RWMutex // held for reading by each request
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.RLock()
			defer requests.RUnlock()
			if ctx.Err() == nil {
				s.serve(w, r)
			}
		}),
		ReadHeaderTimeout: time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	go func() {
		defer close(served)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.t.Error(err)
		}
	}()
	s.stop = func() {
		cancel()
		_ = server.Close()
		<-served
		// Wait for the requests: a pull would take what is published after the restart.
		requests.Lock()
		defer requests.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subscriptions {
		sub.leases = map[int]time.Time{}
		if sub.pushTo != "" {
			s.pushing.Go(func() { s.push(ctx, sub) })
		}
	}
}

// Kill ends the server as SIGKILL does: it closes its connections, and pushes again what it
// has not acknowledged when it starts again.
func (s *Server) Kill() {
	s.stop()
	s.pushing.Wait()
}

// mayPublish reports whether a user may publish to a topic. As in Zato, an asterisk matches
// anything but a dot, and in a pattern with one, a dot matches any character.
func (u user) mayPublish(topic string) bool {
	for _, pattern := range u.publish {
		expression := regexp.QuoteMeta(pattern)
		if strings.Contains(pattern, "*") {
			expression = strings.ReplaceAll(pattern, "*", "[^.]*")
		}
		if regexp.MustCompile("(?i)^" + expression + "$").MatchString(topic) {
			return true
		}
	}
	return false
}
