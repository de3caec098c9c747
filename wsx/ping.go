package wsx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// Ping sends a WebSocket ping and returns how long the answer took. It waits for a
// connection and fails as Call does. While a service runs for the connection, the
// server answers no ping (docs/protocol.md, "Keep-alive").
func (c *Client) Ping(ctx context.Context) (time.Duration, error) {
	ctx, cancel := c.withCallTimeout(ctx)
	defer cancel()
	s, err := c.awaitSession(ctx)
	if err != nil {
		return 0, fmt.Errorf("pinging: %w", err)
	}
	took, err := s.awaitPong(ctx, c.newID("ping"))
	if err != nil {
		return 0, fmt.Errorf("pinging: %w", err)
	}
	return took, nil
}

// awaitPong sends a ping with a payload of its own and waits for its pong.
func (s *session) awaitPong(ctx context.Context, payload string) (time.Duration, error) {
	came := make(chan struct{})
	s.mu.Lock()
	s.pongs[payload] = came
	s.mu.Unlock()
	defer s.handlePong(payload)
	began := time.Now()
	if err := s.ws.WriteControl(websocket.PingMessage, []byte(payload), began.Add(s.client.cfg.Timeout)); err != nil {
		return 0, err
	}
	select {
	case <-came:
		return time.Since(began), nil
	case <-s.closing:
		return 0, s.closedErr()
	case <-ctx.Done():
		return 0, fmt.Errorf("no answer: %w", context.Cause(ctx))
	}
}

// handlePong tells who waits for the pong with a payload, if anybody does.
func (s *session) handlePong(payload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if came := s.pongs[payload]; came != nil {
		close(came)
		delete(s.pongs, payload)
	}
}

// SupportsDurable tells whether the gateway of the channel can make durable subscriptions,
// which the one that Zato ships cannot (docs/protocol.md, "The stock gateway's two
// defects"). It tries to subscribe to a topic that nobody has, and leaves nothing
// behind. On a channel that is mounted on one service it would invoke that service.
func (c *Client) SupportsDurable(ctx context.Context) (bool, error) {
	topic, ends := "/zato-connect/probe/"+randomHex(8), true
	resp, err := c.Call(ctx, Call{
		Service: serviceSubscribe, Request: topicRequest{Topic: topic, UnsubClose: &ends},
	})
	var refused *ServerError
	switch {
	case err == nil:
		return true, c.unsubscribeProbe(ctx, topic, resp)
	case !errors.As(err, &refused):
		return false, err
	case refused.Status == http.StatusInternalServerError:
		return false, nil
	case refused.Status == http.StatusNotFound, refused.Status == http.StatusForbidden:
		return true, nil // it came as far as to look for the topic
	}
	return false, err
}

// unsubscribeProbe ends a subscription to a topic that sprang into being, as a simulator's do.
func (c *Client) unsubscribeProbe(ctx context.Context, topic string, resp *Response) error {
	key, err := wire.SubKey(resp.Data)
	if err == nil {
		_, err = c.Call(ctx, Call{Service: serviceUnsubscribe, Request: topicRequest{SubKey: key, Topic: topic}})
	}
	return err
}

// invalidPriority is a priority that Zato refuses, once it has looked at the topic
// and at the rights (docs/protocol.md, "Publishing").
const invalidPriority = MaxPriority + 1

// CheckPublish tells whether messages can be published to a topic, and publishes
// none: it asks for a priority that Zato refuses, which it looks at only after the
// rights. The error is a *ServerError with the status 403 where there is no such
// topic, or no right. On a channel that is mounted on one service it would invoke
// that service.
func (c *Client) CheckPublish(ctx context.Context, topic string) error {
	if topic == "" {
		return &InvalidError{"topic", "is empty"}
	}
	p := Publication{
		Topic: topic, Data: "zato-connect asks whether it may publish here", Priority: invalidPriority, Expiration: 1,
	}
	_, err := c.Call(ctx, Call{Service: servicePublish, Request: p.request()})
	var refused *ServerError
	switch {
	case err == nil:
		return fmt.Errorf("the server published what it was only asked about, to topic %q", topic)
	case errors.As(err, &refused) && refused.Status == http.StatusBadRequest:
		return nil
	}
	return fmt.Errorf("publishing to topic %q: %w", topic, err)
}
