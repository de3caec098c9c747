package tracing

import (
	"context"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Output wraps an output so that each message that it writes has a span for its publishing.
// out must already have the engine's wrapper for inject_tracing_map. That wrapper then injects
// this span, which becomes the parent of the receiver's spans.
func (t *Tracer) Output(out service.BatchOutput) service.BatchOutput {
	if t == nil {
		return out
	}
	return tracedOutput{BatchOutput: out, tracer: t}
}

type tracedOutput struct {
	service.BatchOutput

	tracer *Tracer
}

func (o tracedOutput) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	traced, spans := make(service.MessageBatch, len(batch)), make([]*Span, len(batch))
	for i, msg := range batch {
		traced[i], spans[i] = o.tracer.startPublish(msg)
	}
	sent := traced.Index()
	err := o.BatchOutput.WriteBatch(ctx, traced)
	endSpans(spans, sent, err)
	return err
}
