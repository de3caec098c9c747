package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

const (
	// batchSize is the number of messages of a batch, and batchesInFlight the number of batches that wait for their
	// acknowledgement at the same time.
	batchSize       = 100
	batchesInFlight = 4
)

// A publishing is a way to publish.
type publishing struct {
	topic string
	// connections is the largest number of connections. fields are further fields of the output, each with a comma
	// before it.
	connections         int
	fields              string
	batchSize, inFlight int
	priorities          []int
	read                reading
}

// plainPublishing publishes batches of batchSize.
func plainPublishing(topic string) publishing {
	return publishing{
		topic: topic, connections: batchesInFlight, batchSize: batchSize, inFlight: batchesInFlight,
		read: perSecond(batchSize),
	}
}

func (p publishing) yaml() string {
	return fmt.Sprintf(
		"output: { zato_wsx: { connection: { CONNECTION, max_connections: %d }, topic: %q, max_in_flight: 64%s } }",
		p.connections, p.topic, p.fields)
}

func (z *zatoServer) publishComparisons() []comparison {
	plain := plainPublishing(z.quietTopic())
	narrow, observed, withIDs, single := plain, plain, plain, plain
	narrow.connections = 1
	observed.topic = z.topic
	mixed, inMemory := observed, observed
	mixed.priorities = []int{1, 5, 9}
	mixed.fields = fmt.Sprintf(", priority: '${! %s }', correl_id: '${! %s }'", recordPriority, recordID)
	inMemory.fields = ", has_gd: 'false'"
	withIDs.fields = fmt.Sprintf(", msg_id: '${! %s }'", recordID)
	single.batchSize, single.inFlight, single.read = 1, 1, quantiles(0.5)

	rate := []quantity{rateOf("messages")}
	counted := []quantity{rate[0], none(": repeated"), none(": out of order")}
	const publish = "zato.pubsub.pubapi.publish-message"
	request := fmt.Sprintf(`{"topic_name": %q, "data": %q}`, z.quietTopic(), strings.Repeat("x", recordSize))
	return []comparison{
		{
			name: "publish batches of 100 without a subscriber", quantities: rate,
			sides: append(z.sides(plain.measure), z.clientSides(publish, request, perSecond(1))...),
		},
		{
			name: "publish batches of 100 over one connection", quantities: rate,
			sides: z.sides(narrow.measure),
		},
		{
			name: "publish batches of 100 to a subscriber", quantities: counted,
			sides: z.sides(z.observe(observed)),
		},
		{
			name: "publish batches of 100 with mixed priorities and correlation ids", quantities: counted,
			sides: z.sides(z.observe(mixed)),
		},
		{
			name: "publish batches of 100 in memory", quantities: counted, sides: z.sides(z.observe(inMemory)),
		},
		{
			name:       "publish batches of 100 with msg_id",
			quantities: []quantity{{unit: rate[0].unit, goal: atLeast(0.88)}},
			sides: []side{
				{name: z.ours.name, measure: withIDs.measure(z.ours)},
				{name: "without", judged: true, measure: plain.measure(z.ours)},
			},
		},
		{
			name: "publish a single message", quantities: []quantity{latencyOf(": p50")},
			sides: append(z.sides(single.measure), z.clientSides(publish, request, quantiles(0.5))...),
		},
	}
}

// measure returns the measurement of a build that publishes.
func (p publishing) measure(b *build) measurement {
	return func(ctx context.Context, duration time.Duration) ([]float64, error) {
		return p.run(ctx, b, newLedger(p.priorities...), duration)
	}
}

// run publishes the records of a ledger.
func (p publishing) run(ctx context.Context, b *build, l *ledger, duration time.Duration) ([]float64, error) {
	f, err := b.feed(ctx, p.yaml())
	if err != nil {
		return nil, err
	}
	defer f.end()
	if err := f.post(ctx, newLedger(1).next(p.batchSize)); err != nil { // opens a connection
		return nil, err
	}
	return callsOf(ctx, duration, p.inFlight, p.read, func(ctx context.Context) error {
		return f.post(ctx, l.next(p.batchSize))
	})
}

// callsOf lets a number of callers make calls, and returns what is read of them.
func callsOf(ctx context.Context, duration time.Duration, callers int, read reading, call caller) ([]float64, error) {
	start := time.Now()
	latencies, err := callFor(ctx, duration, slices.Repeat([]caller{call}, callers))
	if err != nil {
		return nil, err
	}
	return read(latencies, time.Since(start)), nil
}

// observe returns the measurement of a build that publishes while a client is subscribed, to which Zato pushes.
func (z *zatoServer) observe(p publishing) func(*build) measurement {
	return func(b *build) measurement {
		return func(ctx context.Context, duration time.Duration) ([]float64, error) {
			l := newLedger(p.priorities...)
			end, err := z.subscribe(ctx, b, l)
			if err != nil {
				return nil, err
			}
			defer end()
			values, err := p.run(ctx, b, l, duration)
			if err != nil {
				return nil, err
			}
			if err := l.await(ctx); err != nil {
				return nil, err
			}
			return append(values, float64(l.repeated), float64(l.late)), nil
		}
	}
}

// subscribe passes what Zato pushes on the channel of a build to a ledger, until end is called.
func (z *zatoServer) subscribe(ctx context.Context, b *build, l *ledger) (end func(), err error) {
	client, err := b.dial(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := client.Subscribe(ctx, wsx.Subscription{Topic: z.topic}); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	var receiving sync.WaitGroup
	receiving.Go(func() {
		for {
			frame, err := client.Receive(ctx)
			if err != nil {
				return // the client is closed, or ctx has ended
			}
			for _, m := range frame.Messages {
				l.arrive(m.Data)
			}
		}
	})
	return func() {
		_ = client.Unsubscribe(ctx, z.topic) // otherwise the subscription ends with the connection
		_ = client.Close()                   // never fails
		receiving.Wait()
	}, nil
}
