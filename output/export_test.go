package output

import (
	"context"
	"errors"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Construct constructs and closes an output with the given fields.
func Construct(fields string) error {
	return with(fields, func(*output) error { return nil })
}

// Connect connects an output with the given fields and closes it.
func Connect(ctx context.Context, fields string) error {
	return with(fields, func(out *output) error { return out.Connect(ctx) })
}

func with(fields string, do func(*output) error) error {
	conf, err := spec().ParseYAML(fields, nil)
	if err != nil {
		return err
	}
	out, err := newOutput(conf, service.MockResources())
	if err != nil {
		return err
	}
	return errors.Join(do(out), out.Close(context.Background()))
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
	var messages []*message
	for _, text := range texts {
		m := &message{}
		m.Data = text
		messages = append(messages, m)
	}
	l.lists.add(context.Background(), "topic", newGroup(messages), limit)
}
