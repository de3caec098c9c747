package connection

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// requestServer is a manager's session for requests of the server. It is shared by
// the components with an equal time-out, which take turns.
type requestServer struct {
	client  *wsx.Client
	timeout time.Duration

	// mu guards members; the handlers run without it.
	mu      sync.Mutex
	members []*RequestSubscription
	next    int
}

// RequestSubscription is one component's share in a session for requests of the server.
// Its methods may be called at once from any goroutine.
type RequestSubscription struct {
	lease   *Lease
	shared  *requestServer
	handler wsx.ServerRequestHandler
	closed  sync.Once
}

// SubscribeRequests makes handler one of those that answer requests of the server, on a
// session of their own: the server reads no answer from a connection while it
// runs a service for it. The handler has as long as timeout. No I/O is done
// before Ready; Close belongs into the component's own.
func (l *Lease) SubscribeRequests(timeout time.Duration, handler wsx.ServerRequestHandler) (*RequestSubscription, error) {
	m := l.manager
	m.mu.Lock()
	defer m.mu.Unlock()
	shared, err := m.requestServer(timeout)
	if err != nil {
		return nil, err
	}
	r := &RequestSubscription{lease: l, shared: shared, handler: handler}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.members = append(shared.members, r)
	return r, nil
}

// requestServer returns the session with a time-out, a new one if there is none. The
// mutex is held.
func (m *manager) requestServer(timeout time.Duration) (*requestServer, error) {
	for _, a := range m.requestServers {
		if a.timeout == timeout {
			return a, nil
		}
	}
	a := &requestServer{timeout: timeout}
	client, err := m.newClient(roleRequests, func(c *wsx.Config) {
		c.OnRequest, c.RequestTimeout = a.answer, timeout
	})
	if err != nil {
		return nil, err
	}
	a.client = client
	m.requestServers = append(m.requestServers, a)
	return a, nil
}

// answer lets the member whose turn it is answer.
func (a *requestServer) answer(ctx context.Context, request *wsx.ServerRequest) (any, error) {
	a.mu.Lock()
	if len(a.members) == 0 {
		a.mu.Unlock()
		return nil, errors.New("nobody answers requests here any more")
	}
	a.next = (a.next + 1) % len(a.members)
	member := a.members[a.next]
	a.mu.Unlock()
	return member.handler(ctx, request)
}

// AwaitReady connects if need be and waits until requests can come. See Lease.Ready.
func (r *RequestSubscription) AwaitReady(ctx context.Context) error {
	return r.lease.AwaitClient(ctx, r.shared.client)
}

// Disconnected returns a channel that is closed when no requests can come.
func (r *RequestSubscription) Disconnected() <-chan struct{} { return r.shared.client.Disconnected() }

// Close gives the share back. The last one closes the session.
func (r *RequestSubscription) Close() {
	r.closed.Do(func() {
		if r.lease.manager.remove(r) {
			_ = r.shared.client.Close()
		}
	})
}

// remove takes a member out and tells whether it was the last one.
func (m *manager) remove(r *RequestSubscription) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := r.shared
	a.mu.Lock()
	defer a.mu.Unlock()
	a.members = slices.DeleteFunc(a.members, func(other *RequestSubscription) bool { return other == r })
	if len(a.members) > 0 {
		return false
	}
	m.requestServers = slices.DeleteFunc(m.requestServers, func(other *requestServer) bool { return other == a })
	return true
}

// refuseRequest answers for the connections that are not for requests: an error
// is seen at the server, where null might be taken for an answer.
func refuseRequest(context.Context, *wsx.ServerRequest) (any, error) {
	return nil, errors.New("this connection of the client is not for requests: " +
		"give the one for requests a client_id of its own and ask that")
}
