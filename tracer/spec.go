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

// The exporter would leave out what it does not know of a URL.
const (
	lintURL = `root = if !this.re_match("^https?://[^/?#@]+/[^?#]+$") {
  [ "must be like http://host:4318/v1/traces, with the path; credentials go to headers" ]
}`
	lintRatio = `root = if this < 0 || this > 1 { [ "must be 0 to 1" ] }`
)

func spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Beta().
		Summary("Sends spans to an OpenTelemetry collector, by OTLP over HTTP.").
		Description(`
Spans are sent in batches every five seconds, and what is left at the end of the process. While the collector is away
that is logged, and spans are dropped; messages are never held up.

The resource of the spans has what OTEL_RESOURCE_ATTRIBUTES says. The environment variables OTEL_BSP_SCHEDULE_DELAY,
OTEL_BSP_MAX_QUEUE_SIZE and OTEL_BSP_MAX_EXPORT_BATCH_SIZE change how spans are batched.
`).
		Fields(
			service.NewURLField(fieldURL).
				Description("Where the collector takes traces, with the path.").
				Default("http://localhost:4318/v1/traces").
				LintRule(lintURL),
			service.NewStringMapField(fieldHeaders).
				Description("Headers of every request, such as a token.").
				Example(map[string]any{"Authorization": "Bearer ${OTLP_TOKEN}"}).
				Default(map[string]any{}).Secret(),
			service.NewStringField(fieldServiceName).
				Description("The name under which the spans are shown: service.name.").
				Default("zato-connect"),
			service.NewFloatField(fieldRatio).
				Description("Which part of the traces that begin here is sent, 0 to 1. A trace that began elsewhere is sent if "+
					"it was sent there.").
				Default(1.0).
				LintRule(lintRatio),
			service.NewDurationField(fieldTimeout).
				Description("How long one request may take.").
				Default("10s").Advanced().
				LintRule(config.LintDuration),
			service.NewDurationField(fieldFlushTimeout).
				Description("How long the end of the process may wait for the last spans to be sent.").
				Default("5s").Advanced().
				LintRule(config.LintDuration),
		)
}
