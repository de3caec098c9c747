package wsxtest

import (
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// faults are the faults that a test has injected. A negative counter has no limit.
type faults struct {
	// mu guards the fields below. Nothing blocks while holding it.
	mu            sync.Mutex
	responseDelay time.Duration
	loginRefusals int
	responseDrops int
	responseCuts  int
	// fetchCuts counts the answers that hand out messages and are not sent.
	fetchCuts int
	// failures counts the invocations that fail, by service.
	failures map[string]int
}

type responseFate int

const (
	responseSent responseFate = iota
	responseDropped
	responseCut
)

func (f *faults) refuseLogin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return countDown(&f.loginRefusals)
}

// nextResponse returns what happens to a response. HandedOut is set if it has
// messages of a subscription that is fetched.
func (f *faults) nextResponse(handedOut bool) responseFate {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case handedOut && countDown(&f.fetchCuts):
		return responseCut
	case countDown(&f.responseCuts):
		return responseCut
	case countDown(&f.responseDrops):
		return responseDropped
	}
	return responseSent
}

func (f *faults) failInvocation(service string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	left, failing := f.failures[service]
	if !failing {
		return false
	}
	fails := countDown(&left)
	f.failures[service] = left
	return fails
}

func countDown(n *int) bool {
	if *n > 0 {
		*n--
		return true
	}
	return *n < 0
}

// delayResponse waits for the delay that DelayResponses has set. It returns false if
// the connection was closed first.
func (f *faults) delayResponse(c *session) bool {
	f.mu.Lock()
	d := f.responseDelay
	f.mu.Unlock()
	return c.sleep(d)
}

func (f *faults) update(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// Cut closes every connection immediately, without a close frame, as a network
// failure does.
func (s *Server) Cut() {
	for _, c := range s.connections() {
		c.closeAbruptly()
	}
}

// CutClient closes every connection of the client with a client id immediately,
// without a close frame.
func (s *Server) CutClient(clientID string) {
	for _, c := range s.connections() {
		if c.currentClientID() == clientID {
			c.closeAbruptly()
		}
	}
}

// Disconnect sends a close frame to every connection. It cuts a connection that
// cannot be written to within a second.
func (s *Server) Disconnect(code int, reason string) {
	for _, c := range s.connections() {
		c.sendClose(code, reason)
	}
}

// Freeze makes the server neither read nor write for a duration. New connections are
// not upgraded meanwhile.
func (s *Server) Freeze(d time.Duration) {
	s.gate.closeFor(d)
}

// DelayResponses makes the server wait before it sends a response to a login or an
// invocation. A delay of 0 ends this.
func (s *Server) DelayResponses(d time.Duration) {
	s.faults.update(func() { s.faults.responseDelay = d })
}

// RefuseLogins makes the server refuse the next n logins, as if their secret were
// wrong. If n is -1, it refuses all logins. An n of 0 ends this.
func (s *Server) RefuseLogins(n int) {
	s.faults.update(func() { s.faults.loginRefusals = n })
}

// DropResponses makes the server run the next n invocations without sending a
// response. If n is -1, it does so for all invocations. An n of 0 ends this.
func (s *Server) DropResponses(n int) {
	s.faults.update(func() { s.faults.responseDrops = n })
}

// CutBeforeResponse makes the server run the next n invocations and then cut their
// connection instead of sending a response. If n is -1, it does so for all
// invocations. An n of 0 ends this.
func (s *Server) CutBeforeResponse(n int) {
	s.faults.update(func() { s.faults.responseCuts = n })
}

// CutAfterFetch makes the server cut the connection instead of sending the next n
// answers of connect.fetch that contain messages. The messages count as handed out.
// If n is -1, it does so for all of them. An n of 0 ends this.
func (s *Server) CutAfterFetch(n int) {
	s.faults.update(func() { s.faults.fetchCuts = n })
}

// FailInvocations makes the next n invocations of a service through a gateway fail
// with status 500, without running it. If n is -1, all of them fail. An n of 0 ends
// this.
func (s *Server) FailInvocations(service string, n int) {
	s.faults.update(func() {
		if s.faults.failures == nil {
			s.faults.failures = map[string]int{}
		}
		s.faults.failures[service] = n
	})
}

// SendRaw sends text frames with the given payloads to every connection that is
// logged in, without other frames between them. A client that closes the connection
// because of one payload still receives the others. SendRaw blocks while a client
// does not read.
func (s *Server) SendRaw(payloads ...[]byte) {
	for _, c := range s.loggedInSessions() {
		_ = c.write(websocket.TextMessage, payloads...) // the connection may be lost
	}
}

// SendPartialFrame sends the beginning of a frame to every connection that is logged
// in and then cuts the connection.
func (s *Server) SendPartialFrame() {
	for _, c := range s.loggedInSessions() {
		c.sendBytes([]byte{0x81, 0x7e, 0x10, 0x00, '{', '"'}) // a text frame of 4,096 bytes, cut after two
		c.closeAbruptly()
	}
}

// ExpireTokens makes the token of every session expire. The server rejects the next
// frame of each session and ends its connection.
func (s *Server) ExpireTokens() {
	for _, c := range s.loggedInSessions() {
		c.expireToken()
	}
}
