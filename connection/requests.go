package connection

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// answering is a manager's session for requests of the server. It is shared by
// the components with an equal time-out, which take turns.
type answering struct {
	client  *wsx.Client
	timeout time.Duration

	// mu guards members; the handlers run without it.
	mu      sync.Mutex
	members []*Requests
	turn    int
}

// Requests is one component's share in a session for requests of the server.
// Its methods may be called at once from any goroutine.
type Requests struct {
	lease   *Lease
	shared  *answering
	handler wsx.RequestHandler
	closed  sync.Once
}

// Requests makes handler one of those that answer requests of the server, on a
// session of their own: the server reads no answer from a connection while it
// runs a service for it. The handler has as long as timeout. No I/O is done
// before Ready; Close belongs into the component's own.
func (l *Lease) Requests(timeout time.Duration, handler wsx.RequestHandler) (*Requests, error) {
	m := l.manager
	m.mu.Lock()
	defer m.mu.Unlock()
	shared, err := m.answering(timeout)
	if err != nil {
		return nil, err
	}
	r := &Requests{lease: l, shared: shared, handler: handler}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.members = append(shared.members, r)
	return r, nil
}

// answering returns the session with a time-out, a new one if there is none. The
// mutex is held.
func (m *manager) answering(timeout time.Duration) (*answering, error) {
	for _, a := range m.answers {
		if a.timeout == timeout {
			return a, nil
		}
	}
	a := &answering{timeout: timeout}
	client, err := m.newClient(roleRequests, func(c *wsx.Config) {
		c.OnRequest, c.RequestTimeout = a.answer, timeout
	})
	if err != nil {
		return nil, err
	}
	a.client = client
	m.answers = append(m.answers, a)
	return a, nil
}

// answer lets the member whose turn it is answer.
func (a *answering) answer(ctx context.Context, request *wsx.Request) (any, error) {
	a.mu.Lock()
	if len(a.members) == 0 {
		a.mu.Unlock()
		return nil, errors.New("nobody answers requests here any more")
	}
	a.turn = (a.turn + 1) % len(a.members)
	member := a.members[a.turn]
	a.mu.Unlock()
	return member.handler(ctx, request)
}

// Ready connects if need be and waits until requests can come. See Lease.Ready.
func (r *Requests) Ready(ctx context.Context) error { return r.lease.ClientReady(ctx, r.shared.client) }

// Lost returns a channel that is closed when no requests can come.
func (r *Requests) Lost() <-chan struct{} { return r.shared.client.Lost() }

// Close gives the share back. The last one closes the session.
func (r *Requests) Close() {
	r.closed.Do(func() {
		if r.lease.manager.leave(r) {
			_ = r.shared.client.Close()
		}
	})
}

// leave takes a member out and tells whether it was the last one.
func (m *manager) leave(r *Requests) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := r.shared
	a.mu.Lock()
	defer a.mu.Unlock()
	a.members = slices.DeleteFunc(a.members, func(other *Requests) bool { return other == r })
	if len(a.members) > 0 {
		return false
	}
	m.answers = slices.DeleteFunc(m.answers, func(other *answering) bool { return other == a })
	return true
}

// refuseRequest answers for the connections that are not for requests: an error
// is seen at the server, where null might be taken for an answer.
func refuseRequest(context.Context, *wsx.Request) (any, error) {
	return nil, errors.New("this connection of the client is not for requests: " +
		"give the one for requests a client_id of its own and ask that")
}
