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
	answerDelay time.Duration
	refusals    int
	drops       int
	cuts        int
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
	return countDown(&f.refusals)
}

func (f *faults) answer() responseFate {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case countDown(&f.cuts):
		return responseCut
	case countDown(&f.drops):
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

// delay waits as long as answers are to be delayed. It returns false when the
// connection ended first.
func (f *faults) delay(c *session) bool {
	f.mu.Lock()
	d := f.answerDelay
	f.mu.Unlock()
	return c.pause(d)
}

func (f *faults) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// Cut ends every connection without a close frame.
func (s *Server) Cut() {
	for _, c := range s.all() {
		c.closeAbruptly()
	}
}

// CutClient ends every connection of a client without a close frame.
func (s *Server) CutClient(clientID string) {
	for _, c := range s.all() {
		if c.id() == clientID {
			c.closeAbruptly()
		}
	}
}

// Disconnect sends every connection a close frame. A connection that cannot take
// it within a second is cut.
func (s *Server) Disconnect(code int, reason string) {
	for _, c := range s.all() {
		c.sendClose(code, reason)
	}
}

// Freeze makes the server neither read nor write for so long, from now. New
// connections get no answer to their upgrade either.
func (s *Server) Freeze(d time.Duration) {
	s.gate.shut(d)
}

// Delay makes the server wait before each answer, until set back to 0.
func (s *Server) Delay(d time.Duration) {
	s.faults.set(func() { s.faults.answerDelay = d })
}

// RefuseLogins makes the next n logins fail as with a wrong secret, all of them
// if n is -1, until set to 0.
func (s *Server) RefuseLogins(n int) {
	s.faults.set(func() { s.faults.refusals = n })
}

// DropResponses makes the next n invocations run with no answer, all of them if n
// is -1, until set to 0.
func (s *Server) DropResponses(n int) {
	s.faults.set(func() { s.faults.drops = n })
}

// CutBeforeResponse makes the next n invocations run and then end their connection
// with no answer, all of them if n is -1, until set to 0.
func (s *Server) CutBeforeResponse(n int) {
	s.faults.set(func() { s.faults.cuts = n })
}

// SendRaw sends text frames with these bytes to every connection that is logged in,
// with nothing between them: a client that ends the connection at one of them gets the
// others all the same. It waits for connections that are not read from.
func (s *Server) SendRaw(payloads ...[]byte) {
	for _, c := range s.loggedIn() {
		_ = c.write(websocket.TextMessage, payloads...) // a lost connection is a fault too
	}
}

// SendHalfFrame sends every connection that is logged in the beginning of a frame
// and cuts it.
func (s *Server) SendHalfFrame() {
	for _, c := range s.loggedIn() {
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
	for _, c := range s.loggedIn() {
		c.expireToken()
	}
}
