package tracing

import (
	"context"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Output wraps an output so that each message that it writes has a span for its publishing.
// out must already have the engine's wrapper for inject_tracing_map. That wrapper then injects
// this span, which becomes the parent of the receiver's spans.
func (t *Tracer) Output(out service.Output) service.Output {
	if t == nil {
		return out
	}
	return tracedOutput{Output: out, tracer: t}
}

type tracedOutput struct {
	service.Output

	tracer *Tracer
}

func (o tracedOutput) Write(ctx context.Context, msg *service.Message) error {
	msg, span := o.tracer.startPublish(msg)
	err := o.Output.Write(ctx, msg)
	span.Finish(err)
	return err
}
