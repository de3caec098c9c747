//go:build unix

package zato_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/wsx"
)

// endInterval is the time between the ends of two subscriptions.
const endInterval = 800 * time.Millisecond

// endingRate is how many messages a second are published meanwhile.
const endingRate = 100

// endingRow is the row of a pipeline that publishes through a gateway while subscriptions end. The consumer fetches.
func endingRow(publishing string) *row {
	return &row{
		gateway: "connect", input: "fetched", fields: fetchedFields,
		fault: fault{name: "subscriptions end while published on " + publishing},
	}
}

func TestServerNamedByTheEnvironmentTakesEachMessageWhileSubscriptionsEnd(t *testing.T) {
	for _, publishing := range []string{"connect", "stock"} {
		t.Run(publishing, func(t *testing.T) {
			tgt := environmentTarget(t)
			if reason := tgt.lacks(endingRow(publishing)); reason != "" {
				t.Skip(reason)
			}
			if tgt.addresses[publishing] == "" {
				t.Skip("no address of this gateway")
			}
			publishWhileSubscriptionsEnd(t, tgt, publishing)
		})
	}
}

func TestSimulatorTakesEachMessageWhileSubscriptionsEnd(t *testing.T) {
	t.Parallel()
	publishWhileSubscriptionsEnd(t, simulatorTarget(t), "connect")
}

// publishWhileSubscriptionsEnd lets a pipeline publish messages to a topic of which subscriptions end. With lists, none
// may fail. Without them, it only counts those that do.
func publishWhileSubscriptionsEnd(t *testing.T, tgt *target, publishing string) {
	t.Helper()
	r := newRun(t, tgt, endingRow(publishing))
	messages := make([]publication, tgt.messages)
	for i, text := range r.texts(len(messages)) {
		messages[i] = publication{Number: i + 1, Content: []byte(text)}
	}
	p := r.startPipeline(tgt.addresses[publishing], fmt.Sprintf("topic: %q\nhas_gd: true", r.topic), endingRate, messages)
	ended, refused := r.endSubscriptions(p.ended)
	p.awaitExit()
	failures := p.failures()
	reasons := map[string]int{}
	for _, f := range failures {
		delete(r.accepted, f.Number)
		reasons[withoutCID(f.Error)]++
	}
	r.settle()
	res := r.finish(ended)
	written := r.written()
	stored, twice := 0, 0
	for _, f := range failures {
		stored += min(1, written[f.Number])
	}
	for _, times := range written {
		twice += times - 1
	}
	t.Logf("%d messages through %s, %d subscriptions ended (%d ends were refused), failed: %d (of which %d were "+
		"published all the same), lost: %d, twice: %d; reasons: %v", tgt.messages, publishing, ended, refused,
		len(failures), stored, res.lost, twice, reasons)
	assert.Zero(t, res.lost, "lost")
	if publishing == "connect" {
		assert.Empty(t, failures)
		assert.Zero(t, twice, "twice")
	}
}

// endSubscriptions makes a subscription of the topic and ends the one before, until a channel is closed. It returns how
// many have ended, and of how many the server refused that. They are in turn fetched, pushed and durable, and pushed
// without that.
func (r *run) endSubscriptions(until <-chan struct{}) (ended, refused int) {
	kinds := []func(name string) (end func() error){r.fetchedSubscription, r.durableSubscription, r.stockSubscription}
	if r.target.addresses["stock"] == "" {
		kinds = kinds[:2]
	}
	end := kinds[0](r.id + "-0")
	tick := time.NewTicker(endInterval)
	defer tick.Stop()
	for {
		select {
		case <-until:
			require.NoError(r.t, end())
			return ended, refused
		case <-tick.C: // the fault itself
			ended++
			next := kinds[ended%len(kinds)](fmt.Sprintf("%s-%d", r.id, ended))
			if err := end(); err != nil {
				refused++
				r.t.Logf("ending subscription %d: %v", ended, err)
			}
			end = next
		}
	}
}

// fetchedSubscription makes a subscription by name and returns what ends it.
func (r *run) fetchedSubscription(name string) (end func() error) {
	_, err := r.clients[0].SubscribeNamed(r.t.Context(), wsx.NamedSubscription{Topic: r.topic, Name: name})
	require.NoError(r.t, err)
	return func() error {
		_, err := r.clients[0].UnsubscribeNamed(r.t.Context(), r.topic, name)
		return err
	}
}

// durableSubscription makes a durable subscription and returns what ends it.
func (r *run) durableSubscription(string) (end func() error) {
	client := r.receiver("connect", true)
	return func() error {
		defer client.Close() //nolint:errcheck // always nil
		return client.Unsubscribe(r.t.Context(), r.topic)
	}
}

// stockSubscription makes a subscription that ends with its connection, and returns what ends it.
func (r *run) stockSubscription(string) (end func() error) { return r.receiver("stock", false).Close }

// receiver returns a client to which messages are pushed.
func (r *run) receiver(gateway string, durable bool) *wsx.Client {
	client := r.target.client(r.t, r.target.addresses[gateway])
	_, err := client.Subscribe(r.t.Context(), wsx.Subscription{Topic: r.topic, Durable: durable})
	require.NoError(r.t, err)
	go func() {
		for {
			if _, err := client.Receive(r.t.Context()); err != nil {
				return // it was closed
			}
		}
	}()
	return client
}
