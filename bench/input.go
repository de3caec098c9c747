package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	_ "github.com/zato-connect/zato-connect/input" // what is measured
)

const groupInput = "input"

// load is what is sent to an input: some frames in one write, each of some messages.
type load struct {
	name           string
	frames, number int
	data           string
	// times is how many times faster than the stock input ours is to be.
	times float64
}

func loads() []load {
	text := func(size int) string { return `"` + strings.Repeat("x", size) + `"` }
	record := `{"id": 12345, "name": "some name", "amount": 123.45, "tags": ["first", "second"], ` +
		`"note": "a longer text here"}`
	records := "[" + strings.TrimSuffix(strings.Repeat(record+", ", 9), ", ") + "]"
	return []load{
		{"64 frames of 1 x 100 B", 64, 1, text(100), 11},
		{"500 x 1 KiB text", 1, 500, text(1024), 5.5},
		{"500 x 1 KiB JSON in a string", 1, 500, `"` + strings.ReplaceAll(records, `"`, `\"`) + `"`, 3.6},
		// More than the prototypes passed, of objects that take the stock input less.
		{"500 x 1 KiB object", 1, 500, records, 9},
		// What memory gives here, for messages that do not keep their whole frame.
		{"500 x 10 KiB text", 1, 500, text(10 << 10), 6.7},
	}
}

// prefetch is how many frames may wait in front of the pipeline: some are decoded while
// others pass, and single messages may become a full batch.
func (l load) prefetch() int { return max(10, 8*l.frames) }

// ourInput is the zato_wsx input in a pipeline.
const ourInput = `
input: { zato_wsx: { connection: { address: %s }, topics: [ /bench ], auto_replay_nacks: %t, prefetch_count: %d } }
output: { drop: {} }
`

// stockInput is what does the same with Connect alone.
const stockInput = `
input: { websocket: { url: %s } }
pipeline:
  processors:
    - mapping: root = this.data
    %s
    - mapping: |
        meta zato_topic = this.topic_name
        meta zato_msg_id = this.msg_id
        meta zato_correl_id = this.correl_id
        meta zato_priority = this.priority
        meta zato_mime_type = this.mime_type
        meta zato_pub_time = this.pub_time_iso
        meta zato_delivery_count = this.delivery_count
        root = this.data
output: { drop: {} }
`

func inputFigures() []figure {
	var out []figure
	for _, l := range loads() {
		out = append(out, figure{
			group: groupInput, name: l.name + " against the stock input and a mapping",
			unit: perSecond("messages"), goal: atLeast(l.times), ours: ours(l), reference: stock(l),
		})
	}
	for _, l := range loads() {
		out = append(out, figure{
			group: groupInput, name: l.name + " against a bare loop",
			unit: perSecond("messages"), goal: atLeast(0.85), ours: ours(l), reference: rawReader(l),
		})
	}
	for _, l := range loads() {
		out = append(out, figure{
			group: groupInput, name: l.name + " against Connect's own ceiling",
			unit: perSecond("messages"), ours: ours(l), reference: engineLimit(l),
		})
	}
	list := loads()[1]
	return append(out,
		figure{
			group: groupInput, name: "reading frames of 850 KB against a buffer that is used again",
			unit: unit{"frames/s", 1}, goal: atLeast(0.95), ours: readClient, reference: readRaw,
		},
		figure{
			group: groupInput, name: list.name + " without auto-replay", unit: unit{"allocations a message", 1},
			goal: atMost(14.2), ours: list.allocations(false),
		},
		figure{
			group: groupInput, name: list.name + " with auto-replay", unit: unit{"allocations a message", 1},
			goal: atMost(14.2), ours: list.allocations(true),
		},
	)
}

func ours(l load) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		return l.runPipeline(ctx, s, fmt.Sprintf(ourInput, s.url("/zato/0s"), true, l.prefetch()))
	}
}

func stock(l load) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		split := ""
		if l.number > 1 {
			split = "- unarchive: { format: json_array }"
		}
		return l.runPipeline(ctx, s, fmt.Sprintf(stockInput, s.url("/frames"), split))
	}
}

// allocations counts those of the whole process while messages pass. The server has
// none for each message.
func (l load) allocations(replay bool) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		pass, end, err := l.pipeline(ctx, s, fmt.Sprintf(ourInput, s.url("/zato/0s"), replay, l.prefetch()))
		return func(ctx context.Context, _ time.Duration) (float64, error) {
			const bursts = 40
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := pass(ctx, bursts)
			runtime.ReadMemStats(&after)
			return float64(after.Mallocs-before.Mallocs) / float64(bursts*l.frames*l.number), err
		}, end, err
	}
}

// runPipeline measures how fast messages pass a pipeline.
func (l load) runPipeline(ctx context.Context, s *server, yaml string) (meter, func(), error) {
	pass, end, err := l.pipeline(ctx, s, yaml)
	return rate(l.frames*l.number, pass), end, err
}

// pipeline starts a pipeline. The function pass writes some bursts to its input and
// waits until the output has taken the last message.
func (l load) pipeline(ctx context.Context, s *server, yaml string) (
	pass func(ctx context.Context, bursts int) error, end func(), err error,
) {
	pipeline, end, err := startStream(ctx, yaml)
	if err != nil {
		return nil, nil, err
	}
	to, err := s.awaitReader(ctx)
	if err != nil {
		end()
		return nil, nil, err
	}
	b := newFrameSet(l.frames, l.number, l.data)
	return func(ctx context.Context, n int) error {
		wanted := pipeline.sent.expect(n * b.messages)
		if err := to.push(b, n); err != nil {
			return err
		}
		return pipeline.sent.await(ctx, wanted)
	}, end, nil
}
