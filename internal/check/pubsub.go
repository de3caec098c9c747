package check

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/zato-connect/zato-connect/wsx"
)

// The steps that test what a gateway is needed for.
const (
	stepGateway   = "gateway"
	stepSubscribe = "subscribe"
	stepPublish   = "publish"
)

// throughGateway tests what the components need to receive and publish messages and to call
// services. If the channel is mounted on a service that is not a gateway, it tests no topic,
// because each test would invoke that service.
func (c *connectionCheck) throughGateway(ctx context.Context, client *wsx.Client, opts Options) []Result {
	if len(c.subscribes)+len(c.publishes) == 0 && !c.invokes && !c.inMemory {
		return nil
	}
	if !isGateway(ctx, client) {
		return c.withoutGateway()
	}
	results := c.zatoSide(ctx, client, opts)
	for _, topic := range c.publishes {
		results = append(results, publish(ctx, client, topic))
	}
	return results
}

// withoutGateway returns the results for a channel that is not mounted on a gateway.
func (c *connectionCheck) withoutGateway() []Result {
	gateway := Result{Check: stepGateway}
	gateway.fail(wsx.ErrNoGateway, "")
	results := []Result{gateway}
	for _, topic := range c.subscribes {
		results = append(results, notTested(stepSubscribe, topic.name))
	}
	for _, topic := range c.publishes {
		results = append(results, notTested(stepPublish, topic))
	}
	return results
}

// notTested is the result of a step that an earlier one made impossible.
func notTested(step, topic string) Result {
	return Result{Check: step, Topic: topic, Outcome: NotTested, Detail: "an earlier step failed"}
}

// publish tests the right to publish to a topic.
func publish(ctx context.Context, client *wsx.Client, topic string) Result {
	r := Result{Check: stepPublish, Topic: topic, Outcome: OK}
	if err := client.CheckPublish(ctx, topic); err != nil {
		r.fail(err, "publisher's")
	}
	return r
}

// isGateway reports whether the channel is mounted on a gateway. It calls zato.ping, which
// every gateway of Zato passes on. Any other service answers something else, or fails. A
// gateway of a user may forbid the call.
func isGateway(ctx context.Context, client *wsx.Client) bool {
	answer, err := client.Invoke(ctx, "zato.ping", nil)
	var refused *wsx.ServerError
	if errors.As(err, &refused) {
		return refused.Status == http.StatusForbidden
	}
	var ping struct {
		Pong string `json:"pong"`
	}
	return err != nil || (json.Unmarshal(answer, &ping) == nil && ping.Pong != "")
}
