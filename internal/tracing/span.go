// Package tracing makes the spans of the components: one for each message that is
// published, for each call of a service and for each message that is received, with
// the attributes that OpenTelemetry has for messaging.
package tracing

import (
	"github.com/redpanda-data/benthos/v4/public/service"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Tracer makes spans. A nil Tracer makes none, and costs nothing. It may be used by
// several goroutines at once.
type Tracer struct{ tracer trace.Tracer }

// New returns a tracer for a component, nil where the pipeline has none.
func New(res *service.Resources) *Tracer {
	provider := res.OtelTracer()
	if _, none := provider.(noop.TracerProvider); none {
		return nil
	}
	return &Tracer{provider.Tracer("github.com/zato-connect/zato-connect", trace.WithSchemaURL(semconv.SchemaURL))}
}

// Message is what a span says of its message. What is empty is not said.
type Message struct {
	Destination    string // the topic, or the service
	ID             string
	ConversationID string // Zato's correlation id
}

// StartInvoke begins the span of a call of a service for a message.
func (t *Tracer) StartInvoke(msg *service.Message, name string) *Span {
	_, span := t.start(msg, "invoke", trace.SpanKindClient, semconv.MessagingOperationTypeSend)
	span.Describe(Message{Destination: name})
	return span
}

// startPublish begins the span of a message that is published, and puts it into the message.
// What is published is described later.
func (t *Tracer) startPublish(msg *service.Message) (*service.Message, *Span) {
	return t.start(msg, "publish", trace.SpanKindProducer, semconv.MessagingOperationTypeSend)
}

// startProcess begins the span of a message that was received, and puts it into the message.
func (t *Tracer) startProcess(msg *service.Message, m Message) (*service.Message, *Span) {
	msg, span := t.start(msg, "process", trace.SpanKindConsumer, semconv.MessagingOperationTypeProcess)
	span.Describe(m)
	return msg, span
}

// start begins a span below the one that is in a message.
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

// Span is a span of a Tracer. A nil Span is that of a nil Tracer.
type Span struct {
	trace.Span

	operation string
}

// Current returns the span that is in a message, nil if there is none of a Tracer.
func Current(msg *service.Message) *Span {
	s, _ := trace.SpanFromContext(msg.Context()).(*Span)
	return s
}

// Describe adds what is known of the message.
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

// End does nothing. The engine ends the span that it finds in a message before it says
// what became of the message, and then the span could not tell.
func (*Span) End(...trace.SpanEndOption) {}

// Finish ends the span, with the error of what it stands for, if any. What comes after
// the first time is ignored.
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
