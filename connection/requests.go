package connection

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// requestServer is a client that receives requests of the server. It is shared by the
// components of a manager with an equal timeout, which take turns.
type requestServer struct {
	client  *wsx.Client
	timeout time.Duration

	// mu guards the fields below. No handler may run while it is held.
	mu            sync.Mutex
	subscriptions []*RequestSubscription
	next          int // number of the next request; the subscriptions take turns
}

// RequestSubscription is one component's share of the requests of the server. Its methods may
// be called by several goroutines at once.
type RequestSubscription struct {
	lease   *Lease
	server  *requestServer
	handler wsx.ServerRequestHandler
	closed  sync.Once
}

// SubscribeRequests returns a subscription whose handler answers requests of the server. The
// handler must return within timeout. If several components subscribe, each gets a share of
// the requests. They have a connection of their own, because the server reads no answer from a
// connection while it runs a service for it. SubscribeRequests does no I/O: AwaitReady
// connects. The caller must close the subscription.
func (l *Lease) SubscribeRequests(
	timeout time.Duration, handler wsx.ServerRequestHandler,
) (*RequestSubscription, error) {
	m := l.manager
	m.mu.Lock()
	defer m.mu.Unlock()
	server, err := m.requestServer(timeout)
	if err != nil {
		return nil, err
	}
	r := &RequestSubscription{lease: l, server: server, handler: handler}
	server.mu.Lock()
	defer server.mu.Unlock()
	server.subscriptions = append(server.subscriptions, r)
	return r, nil
}

// requestServer returns the request server with a timeout, which it makes if there is none.
// The mutex is held.
func (m *manager) requestServer(timeout time.Duration) (*requestServer, error) {
	for _, s := range m.requestServers {
		if s.timeout == timeout {
			return s, nil
		}
	}
	s := &requestServer{timeout: timeout}
	client, err := m.newClient(roleRequests, "", func(c *wsx.Config) {
		c.OnRequest, c.RequestTimeout = s.answer, timeout
	})
	if err != nil {
		return nil, err
	}
	s.client = client
	m.requestServers = append(m.requestServers, s)
	return s, nil
}

// answer runs the handler of the next subscription.
func (s *requestServer) answer(ctx context.Context, request *wsx.ServerRequest) (any, error) {
	s.mu.Lock()
	if len(s.subscriptions) == 0 {
		s.mu.Unlock()
		return nil, errors.New("this client no longer answers requests")
	}
	r := s.subscriptions[s.next%len(s.subscriptions)]
	s.next++
	s.mu.Unlock()
	return r.handler(ctx, request)
}

// AwaitReady connects if need be and waits until requests can arrive. See Lease.AwaitReady.
func (r *RequestSubscription) AwaitReady(ctx context.Context) error {
	return r.lease.AwaitClient(ctx, r.server.client)
}

// Disconnected returns a channel that is closed when no requests can arrive because the
// connection is lost.
func (r *RequestSubscription) Disconnected() <-chan struct{} { return r.server.client.Disconnected() }

// Close ends the subscription. The last subscription with a timeout closes the connection.
// Further calls of Close do nothing.
func (r *RequestSubscription) Close() {
	r.closed.Do(func() {
		if r.lease.manager.remove(r) {
			_ = r.server.client.Close()
		}
	})
}

// remove removes a subscription and reports whether it was the last one of its server.
func (m *manager) remove(r *RequestSubscription) (last bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscriptions = slices.DeleteFunc(s.subscriptions, func(other *RequestSubscription) bool { return other == r })
	if len(s.subscriptions) > 0 {
		return false
	}
	m.requestServers = slices.DeleteFunc(m.requestServers, func(other *requestServer) bool { return other == s })
	return true
}

// refuseRequest answers requests on connections that are not for requests. It answers with an
// error because the service might take null for a real answer.
func refuseRequest(context.Context, *wsx.ServerRequest) (any, error) {
	return nil, errors.New("this connection is not for requests: " +
		"give the zato_wsx_requests input a client_id of its own and send requests to that")
}
