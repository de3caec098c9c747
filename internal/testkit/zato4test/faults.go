package zato4test

import (
	"net"
	"net/http"
)

// Fault is what a server does instead of answering a request.
type Fault func(s *Server, w http.ResponseWriter, r *http.Request)

// Fail makes the next n requests fail.
func (s *Server) Fail(n int, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.faults = append(s.faults, fault)
	}
}

// FaultsLeft returns the number of requests that will still fail.
func (s *Server) FaultsLeft() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.faults)
}

// nextFault returns the fault of a request, or nil.
func (s *Server) nextFault() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) == 0 {
		return nil
	}
	fault := s.faults[0]
	s.faults = s.faults[1:]
	return fault
}

// Refuse answers with a status and does nothing else.
func Refuse(status int) Fault {
	return func(_ *Server, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// Stall does not answer until the client closes the connection.
func Stall() Fault {
	return func(_ *Server, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
}

// Cut closes the connection and does nothing else.
func Cut() Fault {
	return func(_ *Server, w http.ResponseWriter, _ *http.Request) { reset(w) }
}

// CutAnswer serves the request and closes the connection instead of answering.
func CutAnswer() Fault {
	return func(s *Server, w http.ResponseWriter, r *http.Request) {
		s.route(discard{}, r)
		reset(w)
	}
}

// Redirect answers with a redirect to another URL.
func Redirect(status int, url string) Fault {
	return func(_ *Server, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, url, status) }
}

// reset closes the connection of a request with a TCP reset.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the connection is closed already
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}

// discard is a response that nobody gets.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
