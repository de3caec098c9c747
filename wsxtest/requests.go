package wsxtest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// requestTimeout is how long a client's answer is waited for by default.
const requestTimeout = 5 * time.Second

// Request sends a request to a client and waits for its answer, which is null
// after the time-out, 5 s if that is 0, or when the connection ends. Of several
// connections of that client it takes one. It fails when there is none.
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

// Broadcast sends a request to every client that is logged in, and returns when
// each has answered or let the time-out pass, which is 5 s if 0.
func (s *Server) Broadcast(data any, timeout time.Duration) {
	var requests sync.WaitGroup
	for _, c := range s.loggedInSessions() {
		requests.Go(func() {
			_, _ = c.sendRequest(nil, newID(), data, timeout) // nobody is told
		})
	}
	requests.Wait()
}

// sendRequestContext is ask for callers with a context.
func (c *session) sendRequestContext(ctx context.Context, id string, data any, timeout time.Duration) (json.RawMessage, error) {
	answer, err := c.sendRequest(ctx.Done(), id, data, timeout)
	if err == nil && answer == nil {
		err = context.Cause(ctx)
	}
	return answer, err
}

// sendRequest sends a request and waits for the client's response (transcript
// server-requests). It returns nothing when it was stopped.
func (c *session) sendRequest(stop <-chan struct{}, id string, data any, timeout time.Duration) (json.RawMessage, error) {
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
	answer := make(chan json.RawMessage, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending[id] = answer
	return answer
}

func (c *session) unregisterRequest(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// handleResponse hands a client's response to who waits for it. The response may be
// bare or in an object of its own.
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
	answer := c.pending[f.inReplyTo]
	delete(c.pending, f.inReplyTo)
	c.mu.Unlock()
	if answer != nil {
		answer <- response // there is room, and one response
	}
}
