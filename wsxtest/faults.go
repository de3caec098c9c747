package wsxtest

import (
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// faults is what goes wrong on command.
type faults struct {
	// mu guards the rest.
	mu        sync.Mutex
	stalled   time.Time // nothing moves until then
	answering time.Duration
	refuse    int
	drop      int
	cutBefore int
}

// Cut ends every connection without a close frame.
func (s *Server) Cut() { s.each((*Session).cut) }

// Disconnect sends every connection a close frame.
func (s *Server) Disconnect(code int, reason string) {
	s.each(func(session *Session) { session.sendClose(code, reason) })
}

// Stall lets nothing be handled or written for a while.
func (s *Server) Stall(d time.Duration) {
	s.faults.set(func(f *faults) { f.stalled = time.Now().Add(d) })
}

// Delay makes every invocation wait before it runs. Zero ends it.
func (s *Server) Delay(d time.Duration) {
	s.faults.set(func(f *faults) { f.answering = d })
}

// RefuseLogins refuses the next n logins; all of them if n is negative.
func (s *Server) RefuseLogins(n int) { s.faults.set(func(f *faults) { f.refuse = n }) }

// DropAnswers runs the next n invocations and never answers them; all of them if
// n is negative.
func (s *Server) DropAnswers(n int) { s.faults.set(func(f *faults) { f.drop = n }) }

// CutBeforeAnswer runs the next n invocations and cuts the connection instead of
// answering; all of them if n is negative.
func (s *Server) CutBeforeAnswer(n int) { s.faults.set(func(f *faults) { f.cutBefore = n }) }

// SendRaw sends every connection a text frame with these bytes.
func (s *Server) SendRaw(payload []byte) {
	s.each(func(session *Session) {
		_ = session.write(func() error { return session.conn.WriteMessage(websocket.TextMessage, payload) })
	})
}

// SendHalfFrame begins a frame on every connection and cuts it in the middle.
func (s *Server) SendHalfFrame() {
	half := append([]byte{0x81, 126, 0x10, 0x00}, `{"meta": {"msg_type": "zwsx.psrq"`...)
	s.each(func(session *Session) {
		_ = session.write(func() error {
			_, err := session.conn.NetConn().Write(half)
			return err
		})
		session.cut()
	})
}

func (f *faults) set(change func(*faults)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// await waits until the stall, if there is one, is over.
func (f *faults) await(done <-chan struct{}) {
	f.mu.Lock()
	d := time.Until(f.stalled)
	f.mu.Unlock()
	pause(d, done)
}

// delay waits before an invocation.
func (f *faults) delay(done <-chan struct{}) {
	f.mu.Lock()
	d := f.answering
	f.mu.Unlock()
	pause(d, done)
}

func pause(d time.Duration, done <-chan struct{}) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-done:
	}
}

func (f *faults) refuseLogin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return spend(&f.refuse)
}

// answerFate is what becomes of an answer.
type answerFate int

const (
	answerSent answerFate = iota
	answerDropped
	answerCut
)

func (f *faults) answerFault() answerFate {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case spend(&f.cutBefore):
		return answerCut
	case spend(&f.drop):
		return answerDropped
	}
	return answerSent
}

// spend takes one of n; a negative n never ends.
func spend(n *int) bool {
	if *n > 0 {
		*n--
		return true
	}
	return *n < 0
}
