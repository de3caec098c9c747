package tracing

import (
	"context"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Output puts the span of its publishing into each message that an output writes. It
// goes around the engine's wrapper for inject_tracing_map, so that what is injected is
// this span, which is then the parent of what the receiver does.
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
