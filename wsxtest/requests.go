package wsxtest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// Request calls a connected client as a service at the server does and waits for
// its answer; null stands for none in time. The connection that logged in first
// with the client's id is asked.
func (s *Server) Request(ctx context.Context, clientID string, data any, timeout time.Duration) (json.RawMessage, error) {
	var found *Session
	s.each(func(session *Session) {
		if login, _ := session.state(); login != nil && login.clientID == clientID && found == nil {
			found = session
		}
	})
	if found == nil {
		return nil, fmt.Errorf("no client %q is connected", clientID)
	}
	return found.Request(ctx, newID(""), data, timeout)
}

// Broadcast calls every connected client and waits for all of their answers.
func (s *Server) Broadcast(ctx context.Context, data any, timeout time.Duration) {
	var asked sync.WaitGroup
	s.each(func(session *Session) {
		if login, _ := session.state(); login != nil {
			asked.Go(func() { _, _ = session.Request(ctx, newID(""), data, timeout) })
		}
	})
	asked.Wait()
}
