package wsxtest

import (
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// faults are what tests asked to go wrong. Counters below zero last for ever.
type faults struct {
	// mu guards what is below; nothing waits under it.
	mu          sync.Mutex
	responseDelay time.Duration
	loginRefusals    int
	responseDrops       int
	responseCuts        int
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

func (f *faults) nextResponse() responseFate {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case countDown(&f.responseCuts):
		return responseCut
	case countDown(&f.responseDrops):
		return responseDropped
	}
	return responseSent
}

func countDown(n *int) bool {
	if *n > 0 {
		*n--
		return true
	}
	return *n < 0
}

// delayResponse waits as long as answers are to be delayed. It returns false when the
// connection ended first.
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

// Cut ends every connection without a close frame.
func (s *Server) Cut() {
	for _, c := range s.connections() {
		c.closeAbruptly()
	}
}

// CutClient ends every connection of a client without a close frame.
func (s *Server) CutClient(clientID string) {
	for _, c := range s.connections() {
		if c.currentClientID() == clientID {
			c.closeAbruptly()
		}
	}
}

// Disconnect sends every connection a close frame. A connection that cannot take
// it within a second is cut.
func (s *Server) Disconnect(code int, reason string) {
	for _, c := range s.connections() {
		c.sendClose(code, reason)
	}
}

// Freeze makes the server neither read nor write for so long, from now. New
// connections get no answer to their upgrade either.
func (s *Server) Freeze(d time.Duration) {
	s.gate.closeFor(d)
}

// DelayResponses makes the server wait before each answer, until set back to 0.
func (s *Server) DelayResponses(d time.Duration) {
	s.faults.update(func() { s.faults.responseDelay = d })
}

// RefuseLogins makes the next n logins fail as with a wrong secret, all of them
// if n is -1, until set to 0.
func (s *Server) RefuseLogins(n int) {
	s.faults.update(func() { s.faults.loginRefusals = n })
}

// DropResponses makes the next n invocations run with no answer, all of them if n
// is -1, until set to 0.
func (s *Server) DropResponses(n int) {
	s.faults.update(func() { s.faults.responseDrops = n })
}

// CutBeforeResponse makes the next n invocations run and then end their connection
// with no answer, all of them if n is -1, until set to 0.
func (s *Server) CutBeforeResponse(n int) {
	s.faults.update(func() { s.faults.responseCuts = n })
}

// SendRaw sends text frames with these bytes to every connection that is logged in,
// with nothing between them: a client that ends the connection at one of them gets the
// others all the same. It waits for connections that are not read from.
func (s *Server) SendRaw(payloads ...[]byte) {
	for _, c := range s.loggedInSessions() {
		_ = c.write(websocket.TextMessage, payloads...) // a lost connection is a fault too
	}
}

// SendPartialFrame sends every connection that is logged in the beginning of a frame
// and cuts it.
func (s *Server) SendPartialFrame() {
	for _, c := range s.loggedInSessions() {
		c.sendBytes([]byte{0x81, 0x7e, 0x10, 0x00, '{', '"'}) // a text of 4,096 bytes, two of which come
		c.closeAbruptly()
	}
}

// DropSubscriptions makes the server forget all subscriptions, with their queues, as one that
// lost its database does. It is for a server that is stopped.
func (s *Server) DropSubscriptions() {
	s.broker.dropAll()
}

// ExpireTokens ends the life of every session's token: what is asked next is refused
// and the connection ends.
func (s *Server) ExpireTokens() {
	for _, c := range s.loggedInSessions() {
		c.expireToken()
	}
}
