package check

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/zato-connect/zato-connect/wsx"
)

// mountCompanion says how to get the companion services.
const mountCompanion = "deploy the file that zato-connect zato services prints, and mount the channel on " +
	"connect.gateway (zato/README.md)"

// zatoSide tests the gateway and the rights to the topics that the components subscribe to.
func (c *connectionCheck) zatoSide(ctx context.Context, client *wsx.Client, opts Options) []Result {
	d, err := client.Describe(ctx)
	if err != nil {
		r := Result{Check: stepGateway}
		r.fail(err, "")
		return []Result{r}
	}
	var results []Result
	if d.IsCompanion() {
		results = append(c.companion(d), c.administration(d)...)
	} else {
		results = append(results, c.gateway(ctx, client))
	}
	if c.inMemory && !d.Offers(wsx.AbilityPublishDepth) {
		results = append(results, depth())
	}
	for _, topic := range c.subscribes {
		if topic.fetches() && d.Offers(wsx.AbilityFetch) {
			results = append(results, fetched(ctx, client, d, topic, opts)...)
			continue
		}
		results = append(results, pushed(d, topic), c.subscribe(ctx, topic, opts))
	}
	return results
}

// depth warns of the messages that a full topic loses.
func depth() Result {
	return Result{
		Check: "depth", Outcome: Warning,
		Detail: "an output may publish messages without guaranteed delivery; when a topic has max_depth_non_gd of them in " +
			"memory, 1,000 by default, Zato accepts more and loses them",
		Remedy: "set has_gd: true, or " + mountCompanion,
	}
}

// gateway tests whether a gateway without companion services supports the subscriptions that the components make.
func (c *connectionCheck) gateway(ctx context.Context, client *wsx.Client) Result {
	const stock = "stock: does not support durable subscriptions"
	r := Result{Check: stepGateway, Outcome: OK}
	if len(c.subscribes) == 0 {
		r.Detail = "has no companion services" + c.listCosts()
		return r
	}
	durable, err := client.SupportsDurable(ctx)
	switch {
	case err != nil:
		r.fail(err, "subscriber's")
		return r
	case durable:
		r.Detail = "patched: supports durable subscriptions"
	case c.wantsDurable():
		r.Outcome, r.Detail = Failed, stock+", but an input needs them"
		r.Remedy = mountCompanion + "; or set durable: false, and messages that are published while the input is " +
			"disconnected are lost"
	default:
		r.Detail = stock + ", and no input needs them"
	}
	r.Detail += "; has no companion services, so Zato pushes messages, and those on their way are lost when the process " +
		"or the connection ends" + c.listCosts()
	return r
}

// listCosts says what outputs and processors lack on a gateway without companion services.
func (c *connectionCheck) listCosts() string {
	var costs strings.Builder
	for _, a := range c.listAbilities() {
		costs.WriteString("; " + a.cost)
	}
	return costs.String()
}

func (c *connectionCheck) wantsDurable() bool {
	return slices.ContainsFunc(c.subscribes, func(t topic) bool { return t.durable })
}

// ability is something that companion services can do, and what it costs if they cannot.
type ability struct{ name, cost string }

// inputAbilities returns the abilities that inputs use.
func inputAbilities() []ability {
	return []ability{
		{wsx.AbilityFetch, "Zato pushes messages, and those on their way are lost when the process or the connection ends"},
		{wsx.AbilityFetchInMemory, "messages without guaranteed delivery are not fetched while a subscriber to which Zato " +
			"pushes is connected to the topic"},
		{wsx.AbilitySubscriptions, "named subscriptions cannot be listed or deleted, and nobody sees who takes one over"},
		{wsx.AbilitySubscribeDurable, "subscriptions to which Zato pushes are not durable"},
		{wsx.AbilityResume, "subscriptions to which Zato pushes cannot be resumed after a restart"},
	}
}

// listAbilities returns the abilities that the outputs and processors of the connection use.
func (c *connectionCheck) listAbilities() []ability {
	var used []ability
	has := func(kind string) bool {
		return slices.ContainsFunc(c.components, func(component Component) bool { return component.Kind == kind })
	}
	if has("output") {
		used = append(used,
			ability{wsx.AbilityPublishList, "each message is published in a call of its own, which is several times slower"},
			ability{wsx.AbilityPublishKnown, "msg_id is ignored, so a message that is sent again is published twice"})
	}
	if has("processor") {
		used = append(used,
			ability{wsx.AbilityInvokeList, "each message of a batch is a call of its own, which is several times slower"})
	}
	return used
}

// companion reports the version and the abilities of the companion services.
func (c *connectionCheck) companion(d wsx.Description) []Result {
	results := []Result{{Check: stepGateway, Outcome: OK, Detail: fmt.Sprintf(
		"companion services, version %d: %s", d.Version, strings.Join(d.Can, ", "))}}
	used := c.listAbilities()
	if len(c.subscribes) > 0 {
		used = append(inputAbilities(), used...)
	}
	for _, a := range used {
		if !d.Offers(a.name) {
			results = append(results, Result{Check: "ability", Outcome: Missing, Detail: a.name + ": " + a.cost})
		}
	}
	return results
}

// administration reports what the administrator of the server should set.
func (c *connectionCheck) administration(d wsx.Description) []Result {
	if len(c.subscribes) == 0 {
		return nil
	}
	const keepWaiting = "give zato pubsub cleanup, which the scheduler runs every hour, the switches " +
		"--topics-without-subscribers False --subscriptions False: "
	database := Result{Check: "database", Outcome: OK, Detail: d.Database}
	switch d.Database {
	case "sqlite":
		database.Detail += ": " + keepWaiting +
			"without them, it deletes guaranteed messages that wait, and the queues of consumers that are away for a day"
	case "postgresql":
		database.Detail += ": " + keepWaiting + "without them, it fails, and topics and queues grow without limit"
		if slices.ContainsFunc(c.subscribes, func(t topic) bool { return !t.fetches() }) {
			database.Detail += "; subscriptions to which Zato pushes need two indexes of pubsub_endp_msg_queue, on " +
				"(sub_key, delivery_status) and on (pub_msg_id)"
		}
	}
	level := Result{Check: "log level", Outcome: OK, Detail: d.LogLevel}
	if d.LogLevel == "INFO" || d.LogLevel == "DEBUG" {
		level.Detail += ": set the logger zato_pubsub to WARN in logging.conf: the server writes its whole store to the " +
			"log for each message that it delivers without guarantee, which makes that about ten times slower"
	}
	return []Result{database, level}
}

// fetched reports what waits in the subscription from which an input fetches, and tests whether the user may subscribe
// to the topic, if the options ask for it.
func fetched(ctx context.Context, client *wsx.Client, d wsx.Description, t topic, opts Options) []Result {
	waiting := Result{
		Check: "subscription", Topic: t.name, Outcome: OK, Detail: fmt.Sprintf("fetched from %q", t.subscription),
	}
	subscribe := Result{Check: stepSubscribe, Topic: t.name, Outcome: NotTested, Detail: takesMessages}
	var all []wsx.NamedSubscriptionInfo
	var err error
	if d.Offers(wsx.AbilitySubscriptions) {
		all, err = client.NamedSubscriptions(ctx, t.name, t.subscription)
		waiting.describe(all, err)
	}
	switch {
	case opts.Subscribe:
		subscribe.subscribed(trySubscribeNamed(ctx, client, t))
	case len(all) > 0:
		subscribe.Detail = wasSubscribed
	}
	return []Result{waiting, subscribe}
}

// describe adds to a result what waits in a subscription, which is the only one of a list.
func (r *Result) describe(all []wsx.NamedSubscriptionInfo, err error) {
	switch {
	case err != nil:
		r.fail(err, "subscriber's")
	case len(all) == 0:
		r.Detail += ", which the input makes when it starts"
	default:
		s := all[0]
		r.Detail += fmt.Sprintf(": %d messages wait, %d are unconfirmed", s.Waiting, s.Unconfirmed)
		if s.Consumer != nil {
			r.Detail += fmt.Sprintf(", its consumer is %s (%s)", s.Consumer.ClientID, s.Consumer.ClientName)
		}
	}
}

// pushed reports why Zato pushes the messages of a topic.
func pushed(d wsx.Description, t topic) Result {
	r := Result{Check: "subscription", Topic: t.name, Outcome: OK}
	switch {
	case t.pushFields != "":
		r.Detail = "pushed, because of " + t.pushFields
	case !d.Offers(wsx.AbilityFetch):
		r.Detail = "pushed, because the gateway cannot hand messages out"
	default:
		r.Outcome, r.Detail = Warning, "pushed, because the input has no name; when the process or the connection "+
			"ends, messages are lost"
		r.Remedy = "set subscription, or give the input a label"
	}
	return r
}

// trySubscribeNamed subscribes to a topic by a random name, and deletes the subscription. It returns how many messages
// the subscription had.
func trySubscribeNamed(ctx context.Context, client *wsx.Client, t topic) (received int, err error) {
	probe := "zato-connect check " + rand.Text()
	if _, err = client.SubscribeNamed(ctx, wsx.NamedSubscription{Topic: t.name, Name: probe}); err != nil {
		return 0, err
	}
	return client.UnsubscribeNamed(ctx, t.name, probe)
}
