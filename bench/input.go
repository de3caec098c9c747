package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	_ "github.com/zato-connect/zato-connect/input" // registers the component
)

const groupInput = "input"

// A load is what the server sends to an input: some frames in one write, with some messages
// each.
type load struct {
	name             string
	frames, messages int
	data             string
	// minRatio is the goal for ours divided by the stock input.
	minRatio float64
}

func loads() []load {
	text := func(size int) string { return `"` + strings.Repeat("x", size) + `"` }
	object := `{"id": 12345, "name": "some name", "amount": 123.45, "tags": ["first", "second"], ` +
		`"note": "a longer text here"}`
	array := "[" + strings.TrimSuffix(strings.Repeat(object+", ", 9), ", ") + "]"
	return []load{
		{"64 frames of 1 x 100 B", 64, 1, text(100), 11},
		{"500 x 1 KiB text", 1, 500, text(1024), 5.5},
		{"500 x 1 KiB JSON in a string", 1, 500, `"` + strings.ReplaceAll(array, `"`, `\"`) + `"`, 3.6},
		// The goal is below that of the prototypes: the stock input is faster here than it
		// was with theirs, and ours passes more messages than theirs did.
		{"500 x 1 KiB object", 1, 500, array, 9},
		// The goal is what the machine's memory bandwidth allows if messages do not keep
		// their whole frame.
		{"500 x 10 KiB text", 1, 500, text(10 << 10), 6.7},
	}
}

// prefetch returns the prefetch_count of the input. It is large enough to decode some
// frames while others pass the pipeline, and to merge single messages into a full batch.
func (l load) prefetch() int { return max(10, 8*l.frames) }

// ourInput is a pipeline with the zato_wsx input.
const ourInput = `
input: { zato_wsx: { connection: { address: %s }, topics: [ /bench ], auto_replay_nacks: %t, prefetch_count: %d } }
output: { drop: {} }
`

// stockInput is a pipeline that does the same with Connect's own components.
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
			unit: thousandsPerSecond("messages"), goal: atLeast(l.minRatio),
			ours: ourInputRate(l), reference: stockInputRate(l),
		})
	}
	for _, l := range loads() {
		out = append(out, figure{
			group: groupInput, name: l.name + " against a raw read loop",
			unit: thousandsPerSecond("messages"), goal: atLeast(0.85), ours: ourInputRate(l), reference: rawReadLoop(l),
		})
	}
	for _, l := range loads() {
		out = append(out, figure{
			group: groupInput, name: l.name + " against the engine alone",
			unit: thousandsPerSecond("messages"), ours: ourInputRate(l), reference: engineOnly(l),
		})
	}
	list := loads()[1]
	return append(out,
		figure{
			group: groupInput, name: "reading frames of 850 KB against a raw connection",
			unit: unit{"frames/s", 1}, goal: atLeast(0.95), ours: clientFrameRate, reference: rawFrameRate,
		},
		figure{
			group: groupInput, name: list.name + " without auto-replay", unit: unit{"allocations/message", 1},
			goal: atMost(14.2), ours: list.allocationsPerMessage(false),
		},
		figure{
			group: groupInput, name: list.name + " with auto-replay", unit: unit{"allocations/message", 1},
			goal: atMost(14.2), ours: list.allocationsPerMessage(true),
		},
	)
}

func ourInputRate(l load) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		return l.runPipeline(ctx, s, fmt.Sprintf(ourInput, s.url("/zato/0s"), true, l.prefetch()))
	}
}

func stockInputRate(l load) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		unarchive := ""
		if l.messages > 1 {
			unarchive = "- unarchive: { format: json_array }"
		}
		return l.runPipeline(ctx, s, fmt.Sprintf(stockInput, s.url("/frames"), unarchive))
	}
}

// allocationsPerMessage counts the allocations of the whole process while messages pass.
// The server makes none per message.
func (l load) allocationsPerMessage(replay bool) opener {
	return func(ctx context.Context, s *server) (meter, func(), error) {
		push, end, err := l.startPipeline(ctx, s, fmt.Sprintf(ourInput, s.url("/zato/0s"), replay, l.prefetch()))
		return func(ctx context.Context, _ time.Duration) (float64, error) {
			const pushes = 40
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := push(ctx, pushes)
			runtime.ReadMemStats(&after)
			return float64(after.Mallocs-before.Mallocs) / float64(pushes*l.frames*l.messages), err
		}, end, err
	}
}

// runPipeline measures how many messages per second pass a pipeline.
func (l load) runPipeline(ctx context.Context, s *server, yaml string) (meter, func(), error) {
	push, end, err := l.startPipeline(ctx, s, yaml)
	return rate(l.frames*l.messages, push), end, err
}

// startPipeline starts a pipeline. The function push sends the load to its input n times
// and waits until the output has the last message.
func (l load) startPipeline(ctx context.Context, s *server, yaml string) (
	push func(ctx context.Context, n int) error, end func(), err error,
) {
	pipeline, end, err := startStream(ctx, yaml)
	if err != nil {
		return nil, nil, err
	}
	pusher, err := s.awaitPushConn(ctx)
	if err != nil {
		end()
		return nil, nil, err
	}
	frames := newFrameSet(l.frames, l.messages, l.data)
	return func(ctx context.Context, n int) error {
		target := pipeline.sent.targetFor(n * frames.messages)
		if err := pusher.push(frames, n); err != nil {
			return err
		}
		return pipeline.sent.await(ctx, target)
	}, end, nil
}
