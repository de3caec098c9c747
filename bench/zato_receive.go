package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zato-connect/zato-connect/wsx"
)

const (
	// publishers is the number of connections that publish lists while a build receives.
	publishers = 2
	// longestList is the number of messages of a list while nobody receives.
	longestList = 500
	// firstInterval is the time between two messages that are published until a subscription receives one.
	firstInterval = 700 * time.Millisecond
	// keysFolder is the folder of a cache of subscription keys, in the folder of a build.
	keysFolder = "keys"
)

// receiveYAML is a pipeline that writes what it receives to stdout. Its arguments are the topic, whether its
// subscription ends with the process, and the fields that say how it subscribes.
const receiveYAML = `
input: { zato_wsx: { connection: { CONNECTION }, topics: [ %q ], unsubscribe_on_close: %t, %s } }
output: { stdout: { codec: lines } }
cache_resources: [ { label: keys, file: { directory: ` + keysFolder + ` } } ]
`

func (z *zatoServer) receiveComparisons() []comparison {
	counted := []quantity{rateOf("messages"), none(": repeated")}
	return []comparison{
		{
			name: "receive while lists of 100 are published", quantities: counted,
			sides: z.sides(z.receiving((*reception).publishLists)),
		},
		{
			name: "publish batches of 100 and receive at once", quantities: counted,
			sides: z.sides(z.receiving((*reception).publishBatches)),
		},
		{
			name:       fmt.Sprintf("receive a backlog of %d", z.backlog),
			quantities: append(slices.Clone(counted), quantity{name: ": peak memory", unit: unit{"MB", 1e6}}),
			sides:      z.sides(z.receiveBacklog),
		},
		{
			name: "from publishing to receiving a single message", sides: z.sides(z.receiveSingle),
			quantities: []quantity{latencyOf(": p50"), latencyOf(": p95")},
		},
	}
}

// A reception is a process that receives, and the ledger of what is published meanwhile.
type reception struct {
	*zatoServer
	*ledger

	build   *build
	process *process
	client  *wsx.Client
}

// receive starts a process that receives. It returns when the first message has arrived.
func (z *zatoServer) receive(ctx context.Context, b *build, l *ledger, yaml string) (*reception, error) {
	first := newLedger()
	lines := &lineWriter{each: func(line []byte) {
		first.arrive(line)
		l.arrive(line)
	}}
	client, err := b.dial(ctx)
	if err != nil {
		return nil, err
	}
	r := &reception{zatoServer: z, ledger: l, build: b, client: client}
	if r.process, err = b.start(ctx, yaml, lines); err != nil {
		_ = client.Close() // never fails
		return nil, err
	}
	err = r.process.until(ctx, startTimeout, firstInterval, func() bool {
		// If it fails, no message arrives.
		_ = publishList(ctx, client, z.topic, first.next(1))
		return first.count() > 0
	})
	if err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

func (r *reception) end() {
	r.process.end()
	_ = r.client.Close() // never fails
}

// receiveYAML returns the pipeline of a build.
func (z *zatoServer) receiveYAML(b *build, unsubscribe bool) string {
	return fmt.Sprintf(receiveYAML, z.topic, unsubscribe, b.inputFields)
}

// receiving returns a function that measures how many messages a second a build receives while a function publishes.
func (z *zatoServer) receiving(
	publish func(*reception, context.Context, time.Duration) error,
) func(*build) measurement {
	return func(b *build) measurement {
		return func(ctx context.Context, duration time.Duration) ([]float64, error) {
			r, err := z.receive(ctx, b, newLedger(), z.receiveYAML(b, true))
			if err != nil {
				return nil, err
			}
			defer r.end()
			if err := publish(r, ctx, duration); err != nil {
				return nil, err
			}
			if err := r.await(ctx); err != nil {
				return nil, r.process.explain(err)
			}
			return []float64{r.rate(r.began), float64(r.repeated)}, nil
		}
	}
}

// publishLists publishes lists over connections of the bench.
func (r *reception) publishLists(ctx context.Context, duration time.Duration) error {
	callers := make([]caller, publishers)
	for i := range callers {
		client, err := r.build.dial(ctx)
		if err != nil {
			return err
		}
		defer client.Close() //nolint:errcheck // never fails
		callers[i] = func(ctx context.Context) error { return publishList(ctx, client, r.topic, r.next(batchSize)) }
	}
	_, err := callFor(ctx, duration, callers)
	return err
}

// publishBatches publishes with another process of the build.
func (r *reception) publishBatches(ctx context.Context, duration time.Duration) error {
	p := plainPublishing(r.topic)
	_, err := p.run(ctx, r.build, r.ledger, duration)
	return err
}

// receiveBacklog measures how many messages a second a build receives, from its start, if all of them wait.
func (z *zatoServer) receiveBacklog(b *build) measurement {
	return func(ctx context.Context, _ time.Duration) ([]float64, error) {
		l := newLedger()
		// Makes the subscription, which outlives the process.
		r, err := z.receive(ctx, b, newLedger(), z.receiveYAML(b, false))
		if err != nil {
			return nil, err
		}
		r.end()
		if err := z.publishBacklog(ctx, b, l); err != nil {
			return nil, err
		}
		start := time.Now()
		p, err := b.start(ctx, z.receiveYAML(b, true), &lineWriter{each: l.arrive})
		if err != nil {
			return nil, err
		}
		defer p.end()
		if err := l.await(ctx); err != nil {
			return nil, p.explain(err)
		}
		memory, err := p.peakMemory()
		return []float64{l.rate(start), float64(l.repeated), float64(memory)}, err
	}
}

// publishBacklog publishes as many messages as the backlog has.
func (z *zatoServer) publishBacklog(ctx context.Context, b *build, l *ledger) error {
	publishing, ctx := errgroup.WithContext(ctx)
	publishing.SetLimit(publishers)
	client, err := b.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // never fails
	for left := z.backlog; left > 0; left -= longestList {
		publishing.Go(func() error { return publishList(ctx, client, z.topic, l.next(min(left, longestList))) })
	}
	return publishing.Wait()
}

// receiveSingle measures how long single messages take from the call that publishes them until a build has received
// them.
func (z *zatoServer) receiveSingle(b *build) measurement {
	return func(ctx context.Context, _ time.Duration) ([]float64, error) {
		r, err := z.receive(ctx, b, newLedger(), z.receiveYAML(b, true))
		if err != nil {
			return nil, err
		}
		defer r.end()
		for range z.singles {
			// Zato works in rounds, so the moments are random.
			pause := 100*time.Millisecond + rand.N(500*time.Millisecond) //nolint:gosec // nothing secret
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			text := r.next(1)[0]
			if _, err := r.client.Publish(ctx, wsx.Publication{Topic: r.topic, Data: text}); err != nil {
				return nil, err
			}
			if err := r.await(ctx); err != nil {
				return nil, r.process.explain(err)
			}
		}
		return quantiles(0.5, 0.95)(r.latencies, 0), nil
	}
}

// publishList publishes texts in one call. The gateway of a baseline has no connect.describe, so the service is
// invoked like any other.
func publishList(ctx context.Context, client *wsx.Client, topic string, texts []string) error {
	type message struct {
		Data   string `json:"data,omitempty"`
		Status string `json:"status,omitempty"`
		Error  string `json:"error,omitempty"`
	}
	type list struct {
		Topic    string    `json:"topic_name,omitempty"`
		Messages []message `json:"messages"`
	}
	request, published := list{Topic: topic}, list{}
	for _, text := range texts {
		request.Messages = append(request.Messages, message{Data: text})
	}
	response, err := client.Invoke(ctx, "connect.publish", request)
	if err == nil {
		err = json.Unmarshal(response, &published)
	}
	if err != nil {
		return err
	}
	for _, m := range published.Messages {
		if m.Status != "published" {
			return fmt.Errorf("a message of a list is %s: %s", m.Status, m.Error)
		}
	}
	return nil
}
