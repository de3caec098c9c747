package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// An invoking is a way to invoke a service.
type invoking struct {
	// fields are further fields of the processor, each with a comma before it.
	service, request, fields string
	batchSize, inFlight      int
	read                     reading
}

func (z *zatoServer) invokeComparisons() []comparison {
	const quick = "my.echo"
	fast := invoking{
		service: quick, request: requestData, batchSize: batchSize, inFlight: batchesInFlight, read: perSecond(batchSize),
	}
	slow, single := fast, fast
	slow.service, slow.request = "my.sleep", `{"seconds": 0.005}`
	parallel := slow
	parallel.fields = ", parallel: 50"
	single.batchSize, single.inFlight, single.read = 1, 1, quantiles(0.5)
	rate := []quantity{rateOf("calls")}
	// The baseline may not know the field parallel.
	slowSides := z.sides(slow.measure)
	slowSides[0].measure = parallel.measure(z.ours)
	return []comparison{
		{
			name: "invoke a service of 0 ms in batches of 100", quantities: rate,
			sides: append(z.sides(fast.measure), z.clientSides(quick, requestData, perSecond(1))...),
		},
		{name: "invoke a service of 5 ms in batches of 100 with 50 in parallel", quantities: rate, sides: slowSides},
		{
			name:       "invoke a service of 0 ms for a single message",
			quantities: []quantity{latencyOf(": p50")},
			sides:      append(z.sides(single.measure), z.clientSides(quick, requestData, quantiles(0.5))...),
		},
	}
}

func (i invoking) measure(b *build) measurement {
	return func(ctx context.Context, duration time.Duration) ([]float64, error) {
		f, err := b.feed(ctx, fmt.Sprintf(`
pipeline:
  threads: %d
  processors: [ { zato_wsx: { connection: { CONNECTION }, service: %q%s } } ]
output: { reject_errored: { drop: {} } }
`, i.inFlight, i.service, i.fields))
		if err != nil {
			return nil, err
		}
		defer f.end()
		batch := slices.Repeat([]string{i.request}, i.batchSize)
		post := func(ctx context.Context) error { return f.post(ctx, batch) }
		if err := post(ctx); err != nil { // opens the connections
			return nil, err
		}
		return callsOf(ctx, duration, i.inFlight, i.read, post)
	}
}
