package wsxtest

import (
	"encoding/json"
	"sync"
	"time"
)

// Costs are how long a server process is busy with invocations, besides the time that
// services take. A process does one thing at a time.
type Costs struct {
	// Call is for each invocation through a gateway. Request is for each request of a
	// list of connect.invoke.
	Call, Request time.Duration
	// Commit is for each call that publishes. Message is for a message that is published alone,
	// and Listed for each message of a list of connect.publish.
	Commit, Message, Listed time.Duration
}

// MeasuredCosts returns the costs of a Zato 3.3 server with one process and SQLite: 6 ms
// for a message, 34 ms for a list of 100, and 0.6 ms for an invocation.
func MeasuredCosts() Costs {
	return Costs{
		Call: 600 * time.Microsecond, Request: 45 * time.Microsecond,
		Commit: 4600 * time.Microsecond, Message: 800 * time.Microsecond, Listed: 290 * time.Microsecond,
	}
}

// WithCosts makes the invocations of all connections together take as long as the costs
// say. By default, they cost nothing.
func WithCosts(c Costs) Option {
	return func(s *Server) { s.process = &process{costs: c} }
}

// process is the process of a server. A nil process is never busy.
type process struct {
	costs Costs

	mu        sync.Mutex
	busyUntil time.Time
}

// occupy makes the process busy with an invocation, after what it does already. It
// returns how long that takes from now. So delays of the caller's timer do not add up.
func (p *process) occupy(inv Invocation) time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.busyUntil.Before(now) {
		p.busyUntil = now
	}
	p.busyUntil = p.busyUntil.Add(p.costs.of(inv))
	return p.busyUntil.Sub(now)
}

func (c Costs) of(inv Invocation) time.Duration {
	var list struct {
		Messages []json.RawMessage `json:"messages"`
		Requests []json.RawMessage `json:"requests"`
	}
	switch inv.Service {
	case "zato.pubsub.pubapi.publish-message":
		return c.Call + c.Commit + c.Message
	case "connect.publish", "connect.invoke":
		_ = json.Unmarshal(inv.Request, &list) // the service refuses what it cannot read
	}
	total := c.Call + time.Duration(len(list.Requests))*c.Request
	if inv.Service == "connect.publish" {
		total += c.Commit + time.Duration(len(list.Messages))*c.Listed
	}
	return total
}
