package wsxtest

import (
	"slices"
	"sync"
)

// maxAccount bounds each list of the account; the oldest entries go first.
const maxAccount = 2_000_000

// Message is a message in the server's account.
type Message struct {
	Topic, MsgID string
	// SubKey says to whom it was delivered; empty for one that was published.
	SubKey string
	// Data is the content as JSON.
	Data string
}

// CloseInfo is a close frame that a client sent.
type CloseInfo struct {
	Code   int
	Reason string
}

// account is what the server did, for assertions.
type account struct {
	// mu guards the rest.
	mu          sync.Mutex
	messages    []Message
	deliveries  []Message
	closes      []CloseInfo
	logins      int
	refusals    int
	responses   int
	invocations map[string]int
}

// Published lists the messages that were accepted.
func (s *Server) Published() []Message { return clone(&s.account, &s.account.messages) }

// Delivered lists the messages that were written to a socket, each time.
func (s *Server) Delivered() []Message { return clone(&s.account, &s.account.deliveries) }

// Closes lists the close frames that clients sent.
func (s *Server) Closes() []CloseInfo { return clone(&s.account, &s.account.closes) }

// Opened counts the sessions that were ever created.
func (s *Server) Opened() int { return count(&s.account, &s.account.logins) }

// RefusedLogins counts the logins that were refused.
func (s *Server) RefusedLogins() int { return count(&s.account, &s.account.refusals) }

// Responses counts the client-response frames that came.
func (s *Server) Responses() int { return count(&s.account, &s.account.responses) }

// Invocations counts the calls of a service; the service of a single-service
// channel has no name.
func (s *Server) Invocations(service string) int {
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	return s.account.invocations[service]
}

// Connections counts the connections that are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

func clone[T any](a *account, list *[]T) []T {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(*list)
}

func count(a *account, n *int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return *n
}

// add appends to a list that stays bounded. The mutex is held.
func add[T any](list *[]T, entry T) {
	if len(*list) >= maxAccount {
		*list = slices.Delete(*list, 0, maxAccount/2)
	}
	*list = append(*list, entry)
}

func (a *account) published(m *message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	add(&a.messages, Message{Topic: m.topic, MsgID: m.id, Data: string(m.data)})
}

func (a *account) delivered(frame []pushedMessage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range frame {
		m := &frame[i]
		add(&a.deliveries, Message{Topic: m.TopicName, MsgID: m.MsgID, SubKey: m.SubKey, Data: string(m.Data)})
	}
}

func (a *account) closed(info CloseInfo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	add(&a.closes, info)
}

func (a *account) loggedIn()     { a.increment(&a.logins) }
func (a *account) refusedLogin() { a.increment(&a.refusals) }
func (a *account) responded()    { a.increment(&a.responses) }

func (a *account) increment(n *int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*n++
}

func (a *account) invoked(service string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.invocations == nil {
		a.invocations = map[string]int{}
	}
	a.invocations[service]++
}
