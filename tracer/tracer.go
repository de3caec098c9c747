// Package tracer provides the otlp tracer, which sends the spans of a pipeline to an
// OpenTelemetry collector. It configures the exporter of the OpenTelemetry project.
package tracer

import (
	"context"
	"fmt"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/zato-connect/zato-connect/internal/throttle"
)

func init() { //nolint:gochecknoinits // components of Connect register themselves
	service.MustRegisterOtelTracerProvider("otlp", spec(), construct)
}

func construct(conf *service.ParsedConfig) (trace.TracerProvider, error) {
	s, err := parse(conf)
	if err != nil {
		return nil, err
	}
	name := resource.NewSchemaless(semconv.ServiceName(s.serviceName))
	merged, err := resource.Merge(resource.Default(), name)
	if err != nil {
		return nil, fmt.Errorf("merging resource attributes: %w", err)
	}
	// The exporter connects when it has spans to send.
	exporter, err := otlptracehttp.New(context.Background(), //nolint:forbidigo // the engine passes none
		otlptracehttp.WithEndpointURL(s.url),
		otlptracehttp.WithHeaders(s.headers),
		otlptracehttp.WithTimeout(s.timeout),
	)
	if err != nil {
		return nil, fmt.Errorf("creating the exporter: %w", err)
	}
	log := conf.Resources().Logger()
	// The process has one error handler. By default it writes to standard error.
	var warnings throttle.Throttle
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if warnings.Allow() {
			log.Warnf("Spans were not sent: %v", err)
		}
	}))
	return provider{
		TracerProvider: sdktrace.NewTracerProvider(
			sdktrace.WithBatcher(exporter),
			sdktrace.WithResource(merged),
			sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(s.ratio))),
		),
		flushTimeout: s.flushTimeout,
	}, nil
}

// provider is a trace.TracerProvider whose Shutdown has a time limit. The engine sets none.
type provider struct {
	*sdktrace.TracerProvider

	flushTimeout time.Duration
}

// Shutdown sends the last spans, within the flush timeout. It logs an error but does not
// return it, because the pipeline has succeeded even if its last spans are lost.
func (p provider) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.flushTimeout)
	defer cancel()
	if err := p.TracerProvider.Shutdown(ctx); err != nil {
		otel.Handle(fmt.Errorf("at shutdown: %w", err))
	}
	return nil
}
