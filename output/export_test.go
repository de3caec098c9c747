package output

import (
	"context"
	"errors"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Construct constructs and closes an output with the given fields.
func Construct(fields string) error {
	return with(context.Background(), fields, func(context.Context, *output) error { return nil })
}

// Connect connects an output with the given fields and closes it.
func Connect(ctx context.Context, fields string) error {
	return with(ctx, fields, func(ctx context.Context, out *output) error { return out.Connect(ctx) })
}

func with(ctx context.Context, fields string, do func(context.Context, *output) error) error {
	conf, err := spec().ParseYAML(fields, nil)
	if err != nil {
		return err
	}
	out, err := newOutput(conf, service.MockResources())
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, out), out.Close(ctx))
}

// Lists gathers texts into lists, as an output does with messages.
type Lists struct{ lists *lists }

// NewLists returns lists that are published by a function.
func NewLists(publish func(texts []string)) Lists {
	return Lists{newLists(func(_ context.Context, messages []*message, _ int) {
		var texts []string
		for _, m := range messages {
			texts = append(texts, m.Data)
		}
		publish(texts)
	})}
}

// Add publishes the texts of one caller in lists of up to limit texts.
func (l Lists) Add(limit int, texts ...string) {
	l.lists.add(context.Background(), "topic", newGroup(messagesOf(texts)), limit)
}

// CallSize returns how many of the texts fit into the next call.
func CallSize(limit int, texts ...string) int { return callSize(messagesOf(texts), limit) }

func messagesOf(texts []string) []*message {
	var out []*message
	for _, text := range texts {
		m := &message{}
		m.Data = text
		out = append(out, m)
	}
	return out
}
