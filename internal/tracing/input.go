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

	"github.com/zato-connect/zato-connect/internal/throttle"
)

// fieldExtract is the field of service.NewExtractTracingSpanMappingField.
const fieldExtract = "extract_tracing_map"

// WrapInput adds a span to each message that an input reads. The span ends when the pipeline
// has acknowledged or rejected the message. Its parent is the remote span that
// extract_tracing_map extracts from the message. describe returns the attributes for a message.
//
// The engine's own wrapper for that field does not fit. It uses the parent of the first message
// for all messages of a batch, although they can have several publishers. It also adds a span of
// its own to each message, which is never ended if the message has another span.
func WrapInput(
	conf *service.ParsedConfig, res *service.Resources, in service.BatchInput, describe func(*service.Message) Message,
) (service.BatchInput, error) {
	wrapped := tracedInput{
		BatchInput: in, tracer: New(res), log: res.Logger(), failures: &throttle.Throttle{}, describe: describe,
	}
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

	// tracer is nil if the pipeline has none. Messages then carry the extracted parent only.
	tracer   *Tracer
	parent   *bloblang.Executor // nil if every message begins a trace
	log      *service.Logger
	failures *throttle.Throttle // of the line about parent
	describe func(*service.Message) Message
}

func (i tracedInput) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	batch, ack, err := i.BatchInput.ReadBatch(ctx)
	if err != nil {
		return nil, nil, err
	}
	parents := i.extract(batch)
	spans := make([]*Span, len(batch))
	for n, msg := range batch {
		batch[n], spans[n] = i.tracer.startProcess(withRemoteParent(msg, parents[n]), i.describe(msg))
	}
	sent := batch.Index()
	return batch, func(ctx context.Context, err error) error {
		endSpans(spans, sent, err)
		return ack(ctx, err)
	}, nil
}

// extract returns the carrier of the remote parent of each message, nil for a message without
// one.
func (i tracedInput) extract(batch service.MessageBatch) []propagation.MapCarrier {
	out := make([]propagation.MapCarrier, len(batch))
	if i.parent == nil {
		return out
	}
	mapping := batch.BloblangExecutor(i.parent)
	var lastErr error
	for n := range batch {
		var err error
		if out[n], err = carrier(mapping, n); err != nil {
			lastErr = err
		}
	}
	if lastErr != nil && i.failures.Allow() { // the errors of a mapping are usually the same
		i.log.Errorf("Started a new trace for a message because %s failed: %v", fieldExtract, lastErr)
	}
	return out
}

// carrier returns the result of the mapping for a message, or nil if the mapping deletes its
// root.
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
	out := propagation.MapCarrier{}
	for name, v := range fields {
		if text, ok := v.(string); ok {
			out.Set(strings.ToLower(name), text)
		}
	}
	return out, nil
}

// withRemoteParent returns the message with the remote span in its context.
func withRemoteParent(msg *service.Message, parent propagation.MapCarrier) *service.Message {
	if parent == nil {
		return msg
	}
	return msg.WithContext(otel.GetTextMapPropagator().Extract(msg.Context(), parent))
}

// endSpans ends the spans of a batch that was acknowledged or rejected. If only some messages
// were rejected, only their spans get an error.
func endSpans(spans []*Span, sent *service.Indexer, rejected error) {
	var partial *service.BatchError
	if errors.As(rejected, &partial) && partial.IndexedErrors() > 0 {
		partial.WalkMessagesIndexedBy(sent, func(n int, _ *service.Message, err error) bool {
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
