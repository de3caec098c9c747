package processor

import (
	"sync"
	"time"
)

const (
	// listTime is how long the server is to take for a list. A longer list would save little:
	// a call without a service takes about half a millisecond.
	listTime = 20 * time.Millisecond
	// startWithin is when the server stops to begin requests of a list, because the service
	// is slower than it was, or its speed is not known.
	startWithin = 100 * time.Millisecond
)

// maxSpeeds bounds the number of services whose speed is known.
const maxSpeeds = 1000

// speeds knows how long services take. It believes at once that a service has become faster,
// and slowly that it has become slower: a server that is short of CPU time takes long for some
// lists, and shorter lists would only cost it more. The zero value is ready for use. Its methods
// may be called by several goroutines at once.
type speeds struct {
	mu         sync.Mutex
	perRequest map[string]time.Duration // by service
}

// listLength returns how many requests a list should have: those that the server runs in
// listTime, at least parallel, and at most most.
func (s *speeds) listLength(service string, parallel, most int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.perRequest[service]
	if one <= 0 {
		return most
	}
	return min(most, max(parallel, int(listTime/one)))
}

// record records how long the server took for a number of requests.
func (s *speeds) record(service string, took time.Duration, requests int) {
	if requests == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perRequest == nil || len(s.perRequest) >= maxSpeeds && s.perRequest[service] == 0 {
		s.perRequest = map[string]time.Duration{}
	}
	one := took / time.Duration(requests)
	if known := s.perRequest[service]; known > 0 {
		one = min(one, known+known/5)
	}
	s.perRequest[service] = max(one, 1)
}
