// Package tracer provides the otlp tracer, which sends the spans of a pipeline to an
// OpenTelemetry collector. It is the exporter of the OpenTelemetry project with the
// settings of a configuration.
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
)

func init() { //nolint:gochecknoinits // how components of Connect are registered
	service.MustRegisterOtelTracerProvider("otlp", spec(), construct)
}

func construct(conf *service.ParsedConfig) (trace.TracerProvider, error) {
	s, err := parse(conf)
	if err != nil {
		return nil, err
	}
	own := resource.NewSchemaless(semconv.ServiceName(s.serviceName))
	described, err := resource.Merge(resource.Default(), own)
	if err != nil {
		return nil, fmt.Errorf("describing the resource: %w", err)
	}
	// It connects when there is something to send.
	exporter, err := otlptracehttp.New(context.Background(), //nolint:forbidigo // which gives none, and nothing waits
		otlptracehttp.WithEndpointURL(s.url),
		otlptracehttp.WithHeaders(s.headers),
		otlptracehttp.WithTimeout(s.timeout),
	)
	if err != nil {
		return nil, fmt.Errorf("making the exporter: %w", err)
	}
	log := conf.Resources().Logger()
	// There is one for the whole process, which by default writes to the standard error.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warnf("Spans were not sent: %v", err)
	}))
	return provider{
		TracerProvider: sdktrace.NewTracerProvider(
			sdktrace.WithBatcher(exporter),
			sdktrace.WithResource(described),
			sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(s.ratio))),
		),
		flush: s.flushTimeout,
	}, nil
}

// provider bounds the end, for which the engine gives no deadline.
type provider struct {
	*sdktrace.TracerProvider

	flush time.Duration
}

// Shutdown sends what is left, no longer than the flush time-out. That this failed is
// logged and not returned: a pipeline that ended well did so without its last spans, too.
func (p provider) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.flush)
	defer cancel()
	if err := p.TracerProvider.Shutdown(ctx); err != nil {
		otel.Handle(fmt.Errorf("at the end: %w", err))
	}
	return nil
}
