package wsxtest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// requestTimeout is how long the server waits for a client's response by default.
const requestTimeout = 5 * time.Second

// Request sends a request to the client with a client id and returns its response.
// The response is null if the timeout passes or the connection ends first. A
// timeout of 0 means 5 s. If the client has several connections, the server
// chooses one of them. It is an error if the client is not logged in or the
// context is done first.
func (s *Server) Request(
	ctx context.Context, clientID string, data any, timeout time.Duration,
) (json.RawMessage, error) {
	for _, c := range s.loggedInSessions() {
		if c.currentClientID() == clientID {
			return c.sendRequestContext(ctx, newID(), data, timeout)
		}
	}
	return nil, fmt.Errorf("no client %q is logged in", clientID)
}

// Broadcast sends a request to every client that is logged in. It returns when each
// of them has responded or the timeout has passed. A timeout of 0 means 5 s.
func (s *Server) Broadcast(data any, timeout time.Duration) {
	var requests sync.WaitGroup
	for _, c := range s.loggedInSessions() {
		requests.Go(func() {
			_, _ = c.sendRequest(nil, newID(), data, timeout) // responses and errors are ignored
		})
	}
	requests.Wait()
}

// sendRequestContext is sendRequest for callers with a context.
func (c *session) sendRequestContext(
	ctx context.Context, id string, data any, timeout time.Duration,
) (json.RawMessage, error) {
	response, err := c.sendRequest(ctx.Done(), id, data, timeout)
	if err == nil && response == nil {
		err = context.Cause(ctx)
	}
	return response, err
}

// sendRequest sends a request and waits for the client's response (transcript
// server-requests). It returns nil without an error if stop is closed first.
func (c *session) sendRequest(
	stop <-chan struct{}, id string, data any, timeout time.Duration,
) (json.RawMessage, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	if isFalsy(raw) {
		raw = nil
	}
	response := c.registerRequest(id)
	defer c.unregisterRequest(id)
	if err := c.send(serverFrame{newMeta(id, typeRequest), raw}); err != nil {
		return nil, err
	}
	setDefault(&timeout, requestTimeout)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case r := <-response:
		return r, nil
	case <-timer.C:
	case <-c.closed:
	case <-stop:
		return nil, nil
	}
	return json.RawMessage("null"), nil
}

func (c *session) registerRequest(id string) <-chan json.RawMessage {
	response := make(chan json.RawMessage, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending[id] = response
	return response
}

func (c *session) unregisterRequest(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// handleResponse passes a client's response to the pending request. The response
// may be the data itself or wrapped in an object.
func (c *session) handleResponse(f clientFrame) {
	response := f.data
	var wrapped map[string]json.RawMessage
	if json.Unmarshal(f.data, &wrapped) == nil && wrapped["response"] != nil {
		response = wrapped["response"]
	}
	if response == nil {
		response = json.RawMessage("null")
	}
	c.srv.recorder.addResponse(ClientResponse{ClientID: c.currentClientID(), InReplyTo: f.inReplyTo, Response: response})
	c.mu.Lock()
	waiter := c.pending[f.inReplyTo]
	delete(c.pending, f.inReplyTo)
	c.mu.Unlock()
	if waiter != nil {
		waiter <- response // never blocks: the buffer holds the only response
	}
}
