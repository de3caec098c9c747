package tracer

import (
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
)

// Names of the fields.
const (
	fieldURL          = "url"
	fieldHeaders      = "headers"
	fieldServiceName  = "service_name"
	fieldRatio        = "sampling_ratio"
	fieldTimeout      = "timeout"
	fieldFlushTimeout = "flush_timeout"
)

// The exporter would silently ignore parts of a URL that it does not support.
const (
	lintURL = `root = if !this.re_match("^https?://[^/?#@]+/[^?#]+$") {
  [ "must be a URL with only a host and a path, such as http://host:4318/v1/traces; use headers for credentials" ]
}`
	lintRatio = `root = if this < 0 || this > 1 { [ "must be from 0 to 1" ] }`
)

func spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Beta().
		Summary("Sends spans to an OpenTelemetry collector with OTLP over HTTP.").
		Description(`
Spans are sent in batches every five seconds, and when the process ends. If the collector cannot be reached, spans are
dropped and a warning is logged. Messages never wait for the collector.

The environment variable OTEL_RESOURCE_ATTRIBUTES adds attributes to the resource of the spans. The variables
OTEL_BSP_SCHEDULE_DELAY, OTEL_BSP_MAX_QUEUE_SIZE and OTEL_BSP_MAX_EXPORT_BATCH_SIZE change the batches.
`).
		Fields(
			service.NewURLField(fieldURL).
				Description("The URL at which the collector receives traces, including the path.").
				Default("http://localhost:4318/v1/traces").
				LintRule(lintURL),
			service.NewStringMapField(fieldHeaders).
				Description("HTTP headers of every request to the collector, such as a token.").
				Example(map[string]any{"Authorization": "Bearer ${OTLP_TOKEN}"}).
				Default(map[string]any{}).Secret(),
			service.NewStringField(fieldServiceName).
				Description("The service name of the spans (the resource attribute `service.name`).").
				Default("zato-connect"),
			service.NewFloatField(fieldRatio).
				Description("The fraction of new traces that are sent, from 0 to 1. A trace that began in another process is "+
					"sent if that process sends it.").
				Default(1.0).
				LintRule(lintRatio),
			service.NewDurationField(fieldTimeout).
				Description("The time limit for one request to the collector.").
				Default("10s").Advanced().
				LintRule(config.LintDuration),
			service.NewDurationField(fieldFlushTimeout).
				Description("The time limit for sending the last spans when the process ends.").
				Default("5s").Advanced().
				LintRule(config.LintDuration),
		)
}
