// Package tracing creates the spans of the components: one for each message that is
// published or received, and one for each call of a service. The spans have the attributes
// of OpenTelemetry's semantic conventions for messaging.
package tracing

import (
	"github.com/redpanda-data/benthos/v4/public/service"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Tracer creates spans. A nil Tracer creates none, at no cost. Its methods may be called by
// several goroutines at once.
type Tracer struct{ tracer trace.Tracer }

// New returns a tracer for a component, or nil if the pipeline has no tracer.
func New(res *service.Resources) *Tracer {
	provider := res.OtelTracer()
	if _, none := provider.(noop.TracerProvider); none {
		return nil
	}
	return &Tracer{provider.Tracer("github.com/zato-connect/zato-connect", trace.WithSchemaURL(semconv.SchemaURL))}
}

// Message holds the attributes of a message. Empty attributes are not set.
type Message struct {
	Destination    string // the topic or the service
	ID             string
	ConversationID string // the correlation id in Zato
}

// StartInvoke starts the span of a call of a service. Its parent is the span in msg.
func (t *Tracer) StartInvoke(msg *service.Message, name string) *Span {
	_, span := t.start(msg, "invoke", trace.SpanKindClient, semconv.MessagingOperationTypeSend)
	span.Describe(Message{Destination: name})
	return span
}

// startPublish starts the span of a message that is published, and returns the message with
// the span in its context.
func (t *Tracer) startPublish(msg *service.Message) (*service.Message, *Span) {
	return t.start(msg, "publish", trace.SpanKindProducer, semconv.MessagingOperationTypeSend)
}

// startProcess starts the span of a message that was received, and returns the message with
// the span in its context.
func (t *Tracer) startProcess(msg *service.Message, m Message) (*service.Message, *Span) {
	msg, span := t.start(msg, "process", trace.SpanKindConsumer, semconv.MessagingOperationTypeProcess)
	span.Describe(m)
	return msg, span
}

// start starts a child of the span in msg.
func (t *Tracer) start(
	msg *service.Message, operation string, kind trace.SpanKind, operationType attribute.KeyValue,
) (*service.Message, *Span) {
	if t == nil {
		return msg, nil
	}
	ctx, span := t.tracer.Start(msg.Context(), operation, trace.WithSpanKind(kind), trace.WithAttributes(
		semconv.MessagingSystemKey.String("zato"), semconv.MessagingOperationName(operation), operationType,
	))
	s := &Span{Span: span, operation: operation}
	return msg.WithContext(trace.ContextWithSpan(ctx, s)), s
}

// Span is a span of a Tracer. The span of a nil Tracer is nil; Describe and Finish do nothing
// on it.
type Span struct {
	trace.Span

	operation string
}

// Current returns the span in a message, or nil if it has none from a Tracer.
func Current(msg *service.Message) *Span {
	s, _ := trace.SpanFromContext(msg.Context()).(*Span)
	return s
}

// Describe adds attributes of the message.
func (s *Span) Describe(m Message) {
	if s == nil || !s.IsRecording() {
		return
	}
	if m.Destination != "" {
		s.SetName(s.operation + " " + m.Destination)
		s.SetAttributes(semconv.MessagingDestinationName(m.Destination))
	}
	if m.ID != "" {
		s.SetAttributes(semconv.MessagingMessageID(m.ID))
	}
	if m.ConversationID != "" {
		s.SetAttributes(semconv.MessagingMessageConversationID(m.ConversationID))
	}
}

// End does nothing; Finish ends the span. The engine ends the span in a message before it
// acknowledges or rejects the message, and a span that has ended cannot record an error.
func (*Span) End(...trace.SpanEndOption) {}

// Finish ends the span. If err is not nil, the span records it and has failed. Only the first
// call has an effect.
func (s *Span) Finish(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.RecordError(err)
		s.SetStatus(codes.Error, err.Error())
		s.SetAttributes(errorType(err))
	}
	s.Span.End()
}
