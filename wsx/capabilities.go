package wsx

import (
	"context"
	"fmt"
	"net/http"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// SupportsDurable reports whether the gateway of the channel can make durable
// subscriptions. The gateway that Zato ships cannot (docs/protocol.md, "The stock
// gateway's two defects"). SupportsDurable tries to subscribe to a random topic and
// leaves nothing behind. Do not use it on a channel that is mounted on a single service:
// it would invoke that service.
func (c *Client) SupportsDurable(ctx context.Context) (bool, error) {
	topic, endsOnClose := "/zato-connect/probe/"+randomHex(8), true
	resp, err := c.Call(ctx, Call{
		Service: serviceSubscribe, Request: topicRequest{Topic: topic, UnsubClose: &endsOnClose},
	})
	refused, answered := asAnswer(err)
	switch {
	case err == nil:
		return true, c.unsubscribeProbe(ctx, topic, resp)
	case !answered:
		return false, err
	case refused.Status == http.StatusInternalServerError:
		return false, nil
	case refused.Status == http.StatusNotFound, refused.Status == http.StatusForbidden:
		return true, nil // the service ran and looked for the topic
	}
	return false, err
}

// unsubscribeProbe deletes the subscription that SupportsDurable made. A simulator that
// creates topics on demand makes one.
func (c *Client) unsubscribeProbe(ctx context.Context, topic string, resp *Response) error {
	key, err := wire.SubKey(resp.Data)
	if err == nil {
		_, err = c.Call(ctx, Call{Service: serviceUnsubscribe, Request: topicRequest{SubKey: key, Topic: topic}})
	}
	return err
}

// invalidPriority is a priority that Zato refuses after it has checked the topic and the
// rights (docs/protocol.md, "Publishing").
const invalidPriority = MaxPriority + 1

// CheckPublish returns nil if the user may publish to a topic. It publishes nothing: it
// sends a message with a priority that Zato refuses after it has checked the rights. The
// error is a *ServerError with the status 403 if there is no such topic or no right. Do
// not use it on a channel that is mounted on a single service: it would invoke that
// service.
func (c *Client) CheckPublish(ctx context.Context, topic string) error {
	if topic == "" {
		return &InvalidError{"topic", "is empty"}
	}
	p := Publication{
		Topic: topic, Data: "zato-connect checks whether it may publish here", Priority: invalidPriority, Expiration: 1,
	}
	resp, err := c.Call(ctx, Call{Service: servicePublish, Request: p.request()})
	if err == nil {
		_, err = wire.MsgID(resp.Data)
	}
	refused, answered := asAnswer(err)
	switch {
	case err == nil:
		return fmt.Errorf("the server published the message of a check to topic %q", topic)
	case answered && refused.Status == http.StatusBadRequest:
		return nil
	}
	return fmt.Errorf("publishing to topic %q: %w", topic, err)
}
