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
	for _, c := range s.loggedIn() {
		if c.id() == clientID {
			return c.request(ctx, newID(), data, timeout)
		}
	}
	return nil, fmt.Errorf("no client %q is logged in", clientID)
}

// Broadcast sends a request to every client that is logged in, and returns when
// each has answered or let the time-out pass, which is 5 s if 0.
func (s *Server) Broadcast(data any, timeout time.Duration) {
	var asked sync.WaitGroup
	for _, c := range s.loggedIn() {
		asked.Go(func() {
			_, _ = c.ask(nil, newID(), data, timeout) // nobody is told
		})
	}
	asked.Wait()
}

// request is ask for callers with a context.
func (c *session) request(ctx context.Context, id string, data any, timeout time.Duration) (json.RawMessage, error) {
	answer, err := c.ask(ctx.Done(), id, data, timeout)
	if err == nil && answer == nil {
		err = context.Cause(ctx)
	}
	return answer, err
}

// ask sends a request and waits for the client's response (transcript
// server-requests). It returns nothing when it was stopped.
func (c *session) ask(stop <-chan struct{}, id string, data any, timeout time.Duration) (json.RawMessage, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	if isFalsy(raw) {
		raw = nil
	}
	answer := c.expect(id)
	defer c.forget(id)
	if err := c.send(serverFrame{newMeta(id, typeRequest), raw}); err != nil {
		return nil, err
	}
	setDefault(&timeout, requestTimeout)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case response := <-answer:
		return response, nil
	case <-timer.C:
	case <-c.closed:
	case <-stop:
		return nil, nil
	}
	return json.RawMessage("null"), nil
}

func (c *session) expect(id string) <-chan json.RawMessage {
	answer := make(chan json.RawMessage, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[id] = answer
	return answer
}

func (c *session) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// resolve hands a client's response to who waits for it. The response may be
// bare or in an object of its own.
func (c *session) resolve(f clientFrame) {
	response := f.data
	var wrapped map[string]json.RawMessage
	if json.Unmarshal(f.data, &wrapped) == nil && wrapped["response"] != nil {
		response = wrapped["response"]
	}
	if response == nil {
		response = json.RawMessage("null")
	}
	c.srv.recorder.responded(ResponseInfo{ClientID: c.id(), InReplyTo: f.inReplyTo, Response: response})
	c.mu.Lock()
	answer := c.waiting[f.inReplyTo]
	delete(c.waiting, f.inReplyTo)
	c.mu.Unlock()
	if answer != nil {
		answer <- response // there is room, and one response
	}
}
