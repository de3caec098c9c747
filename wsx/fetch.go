package wsx

import (
	"context"
	"fmt"
	"time"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// serviceFetch hands out the messages of a named subscription.
const serviceFetch = "connect.fetch"

// FetchRequest is one call of Client.Fetch. The lists have ids of messages. Limits.IDs bounds
// their lengths.
type FetchRequest struct {
	// Confirmed messages are deleted from the queue.
	Confirmed []string
	// Returned messages go back to the queue and are handed out again at once.
	Returned []string
	// Renewed messages of a shared subscription stay with this consumer for another Lease.
	Renewed []string
	// Max is how many messages to hand out, at most. Zero hands out none. The client also
	// bounds their size, to three quarters of Config.MaxMessageSize.
	Max int
	// Wait is how long the server waits if there is no message. The server may wait for less,
	// and it stops waiting when the client sends something else.
	Wait time.Duration
	// Lease is for how long the messages of a shared subscription stay with this consumer.
	// Zero leaves it to the server. Messages of an exclusive subscription stay until they
	// are confirmed or returned, or until another consumer subscribes.
	Lease time.Duration
	// Release returns everything that this consumer of an exclusive subscription has not
	// confirmed, and gives the subscription up, so that another consumer can have it at once.
	Release bool
}

// Fetched is the result of Client.Fetch.
type Fetched struct {
	// Messages are in the server's order: by priority, then by time. They have no RecvTime
	// and no GroupID. DeliveryCount is exact: it is 1 for the first time.
	Messages []Message
	// Confirmed is how many messages this call confirmed.
	Confirmed int
}

// Fetch confirms messages of a queue and takes the next ones from it. What it takes stays in
// the queue, and is not handed out again until it is returned, as FetchRequest says, so no
// message is lost if the program ends. All of it can be repeated.
//
// The connection is busy until the server has answered. Fetch waits and fails as Call does,
// but if the context has no deadline, it waits for Wait longer. If the context is canceled,
// Fetch sends a ping, which ends the wait of the server, and returns what the server has handed
// out. If the server does not answer within a second, or if the deadline passes, Fetch closes
// the connection, unless other calls wait for their answers on it, so that the server hands out
// nothing more. The client then reconnects.
//
// The error is ErrTakenOver if another consumer has the subscription, ErrNoSubscription if it
// was deleted, ErrMessageTooLarge if the next message does not fit, or ErrSubscribeFailed if
// the user may not use it. In the first case, the server has confirmed the messages all the
// same.
func (c *Client) Fetch(ctx context.Context, q Queue, r FetchRequest) (Fetched, error) {
	op := operation{"fetching from topic", q.Topic}
	// The server answers no ping while it waits, and this client expects something to arrive.
	wait := min(r.Wait, readTimeout(&c.cfg)/2)
	call := Call{Service: serviceFetch, Request: struct {
		SubKey    string   `json:"sub_key"`
		Holder    string   `json:"holder,omitempty"`
		Confirmed []string `json:"confirmed,omitempty"`
		Returned  []string `json:"returned,omitempty"`
		Renewed   []string `json:"renewed,omitempty"`
		Max       int      `json:"max"`
		MaxBytes  int64    `json:"max_bytes"`
		Wait      float64  `json:"wait"`
		Lease     float64  `json:"lease,omitempty"`
		Release   bool     `json:"release,omitempty"`
	}{
		q.Key.Reveal(), q.Holder, r.Confirmed, r.Returned, r.Renewed, r.Max, max(1, c.cfg.MaxMessageSize*3/4),
		wait.Seconds(), r.Lease.Seconds(), r.Release,
	}}
	data, err := call.data()
	if err != nil {
		return Fetched{}, fmt.Errorf("%s: %w", op, err)
	}
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		limit := c.cfg.CallTimeout + wait
		ctx, cancel = context.WithTimeoutCause(ctx, limit, callTimeoutError(limit))
		defer cancel()
	}
	resp, err := c.doOrHangUp(ctx, op, &data)
	if err != nil {
		return Fetched{}, explainNamed(op, err, ErrNoSubscription)
	}
	messages, confirmed, err := wire.DecodeFetched(resp.Data, func(m *Message, from *wire.Message) {
		m.read(from)
		m.Topic, m.SubKey, m.Size = q.Topic, q.Key, int64(len(m.Data))
	})
	if err != nil {
		return Fetched{}, fmt.Errorf("%s: %w", op, err)
	}
	return Fetched{Messages: messages, Confirmed: int(confirmed)}, nil
}
