package tracing

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
)

// fieldExtract is the field of service.NewExtractTracingSpanMappingField.
const fieldExtract = "extract_tracing_map"

// WrapInput puts a span into each message that an input reads, from then until the
// pipeline has settled the message. Its parent is what extract_tracing_map finds in the
// message; describe says what is known of the message.
//
// The engine has a wrapper for that field. It takes what it finds in the first message
// of a batch for all of them, which can be of several publishers, and puts a span of
// its own in between, which nobody ends once there is another in the message.
func WrapInput(
	conf *service.ParsedConfig, res *service.Resources, in service.BatchInput, describe func(*service.Message) Message,
) (service.BatchInput, error) {
	wrapped := tracedInput{BatchInput: in, tracer: New(res), log: res.Logger(), describe: describe}
	if text, _ := conf.FieldString(fieldExtract); text != "" {
		var err error
		if wrapped.parent, err = conf.FieldBloblang(fieldExtract); err != nil {
			return nil, err
		}
	}
	if wrapped.tracer == nil && wrapped.parent == nil {
		return in, nil
	}
	return wrapped, nil
}

type tracedInput struct {
	service.BatchInput

	// tracer may be nil where parent is not: then a trace only passes through.
	tracer   *Tracer
	parent   *bloblang.Executor // nil: every message begins a trace
	log      *service.Logger
	describe func(*service.Message) Message
}

func (i tracedInput) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	batch, ack, err := i.BatchInput.ReadBatch(ctx)
	if err != nil {
		return nil, nil, err
	}
	found := i.extract(batch)
	spans := make([]*Span, len(batch))
	for n, msg := range batch {
		batch[n], spans[n] = i.tracer.startProcess(withRemoteParent(msg, found[n]), i.describe(msg))
	}
	sent := batch.Index()
	return batch, func(ctx context.Context, rejected error) error {
		endSpans(spans, sent, rejected)
		return ack(ctx, rejected)
	}, nil
}

// extract returns what each message says of the span that it came from, nil where it
// says nothing.
func (i tracedInput) extract(batch service.MessageBatch) []propagation.MapCarrier {
	out := make([]propagation.MapCarrier, len(batch))
	if i.parent == nil {
		return out
	}
	mapping := batch.BloblangExecutor(i.parent)
	var fault error
	for n := range batch {
		var err error
		if out[n], err = carrier(mapping, n); err != nil {
			fault = err
		}
	}
	if fault != nil { // once for all of them, for they are likely to have the same
		i.log.Errorf("A message begins a trace of its own, for %s failed: %v", fieldExtract, fault)
	}
	return out
}

// carrier is what the mapping makes of a message. A mapping that deletes its root finds
// nothing.
func carrier(mapping *service.MessageBatchBloblangExecutor, index int) (propagation.MapCarrier, error) {
	msg, err := mapping.Query(index)
	if err != nil || msg == nil {
		return nil, err
	}
	value, err := msg.AsStructured()
	if err != nil {
		return nil, err
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("expected an object, got %T", value)
	}
	found := propagation.MapCarrier{}
	for name, v := range fields {
		if text, ok := v.(string); ok {
			found.Set(strings.ToLower(name), text)
		}
	}
	return found, nil
}

// withRemoteParent puts the remote span that was found into a message.
func withRemoteParent(msg *service.Message, found propagation.MapCarrier) *service.Message {
	if found == nil {
		return msg
	}
	return msg.WithContext(otel.GetTextMapPropagator().Extract(msg.Context(), found))
}

// endSpans ends the spans of a batch that was settled. Of one that was rejected in part,
// only that part failed.
func endSpans(spans []*Span, sent *service.Indexer, rejected error) {
	var some *service.BatchError
	if errors.As(rejected, &some) && some.IndexedErrors() > 0 {
		some.WalkMessagesIndexedBy(sent, func(n int, _ *service.Message, err error) bool {
			if err != nil && n >= 0 && n < len(spans) {
				spans[n].Finish(err)
			}
			return true
		})
		rejected = nil
	}
	for _, span := range spans {
		span.Finish(rejected)
	}
}
