package processor

import (
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
)

// Names of the fields of the zato_wsx processor.
const (
	fieldService     = "service"
	fieldRequest     = "request"
	fieldTimeout     = "timeout"
	fieldMaxInFlight = "max_in_flight"
	fieldRateLimit   = "rate_limit"
	fieldRetryLost   = "retry_lost"
	fieldMaxList     = "max_list"
	fieldParallel    = "parallel"

	fieldResponseFormat = "response_format"
)

// Values of the field response_format.
const (
	formatCompact = "compact"
	formatRaw     = "raw"
)

// Names of the metadata that the processor sets.
const (
	metaStatus    = "zato_status"
	metaRequestID = "zato_request_id"
	metaCID       = "zato_cid"
)

const (
	defaultMaxInFlight = 64
	defaultMaxList     = 100
)

func spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Beta().
		Categories("Services", "Integration").
		Summary("Invokes a Zato service for each message over a WebSocket channel.").
		Description(`
The answer of the service replaces the content of the message: a string becomes plain text, anything else is JSON on
one line, with its numbers and the order of its keys unchanged.
To keep the message and add the answer to it, use this processor in a `+"`branch`"+` processor.

If the channel is mounted on the companion services (zato/README.md), the messages of a batch go out in lists: one
call for the messages of a service, up to `+"`max_list`"+`. Otherwise, and for a batch of one message, each message is a
call. Calls run in parallel. Each uses a connection of its own, up to `+"`max_connections`"+` in
`+"`connection`"+`. The order of the batch does not change.

The server runs the service for the messages of a list one after the other, or for `+"`parallel`"+` of them at once. A
list is as long as the service can do in about 20 ms, or `+"`parallel`"+` messages if that is more. So the messages for
a slow service are spread over the connections, and no list holds up other calls for long.

If a call fails, its message keeps its content and is flagged as failed. Handle it with `+"`catch`"+`, or with
`+"`errored()`"+` in a `+"`switch`"+`. The other messages of the batch are not affected. The error names the service
and contains the server's error message.

A call waits for a connection if there is none, within `+"`timeout`"+`. If the connection ends before the answer
arrives, the call fails with all its messages, because the service may have run. If it does no harm to run the service
twice, set `+"`retry_lost`"+` to send such messages again. Messages for which the server has not run the service are
always sent again. So a message that is too large for a proxy in front of the server fails alone.

Two limitations of Zato apply to services behind its own gateway. If the answer is a value that Python treats as false
({}, [], "", 0, false or null), the message becomes empty. If the request is such a value, the service receives the
gateway's own arguments instead.

== Metadata

- `+metaStatus+`: the HTTP status code of the answer, of a success or of a failure
- `+metaRequestID+`: the id of the request
- `+metaCID+`: the server's correlation id of a failure, which is also in the server's log

Each call removes these fields before it sets them, so what an earlier call set is never taken for its outcome.
`).
		Fields(
			config.ConnectionField(),
			service.NewInterpolatedStringField(fieldService).
				Description("The name of the service. Leave it empty if the channel is mounted on a single service.").
				Example("customer.get").
				Default(""),
			service.NewBloblangField(fieldRequest).
				Description("A mapping that creates the request. By default, the request is the content of the message: as JSON "+
					"if it is valid JSON, otherwise as a string.").
				Example(`root = { "id": this.customer_id }`).
				Optional(),
			service.NewDurationField(fieldTimeout).
				Description("The time limit for a call, from the wait for a free connection to the answer.").
				Default("30s").
				LintRule(config.LintDuration),
			service.NewIntField(fieldMaxInFlight).
				Description("The maximum number of calls at a time, in all threads of the pipeline together. A list is one call. "+
					"Calls beyond `max_connections` times `calls_per_connection` wait for a free connection.").
				Default(defaultMaxInFlight).
				LintRule(config.LintPositive),
			service.NewStringAnnotatedEnumField(fieldResponseFormat, map[string]string{
				formatCompact: "on one line",
				formatRaw:     "unchanged, indented over several lines as Zato does it",
			}).
				Description("How an answer that is JSON becomes the content of the message.").
				Default(formatCompact).Advanced(),
			service.NewStringField(fieldRateLimit).
				Description("The label of a rate limit resource that limits the messages for which a service is invoked.").
				Default("").Advanced(),
			service.NewBoolField(fieldRetryLost).
				Description("Whether to send messages again if the connection ends before their answer arrives, or if the "+
					"service still runs when the time of a list is over. The service may then run twice.").
				Default(false).Advanced(),
			service.NewIntField(fieldMaxList).
				Description("The maximum number of messages in a call. With 1, each message is a call, which a service that "+
					"takes longer than the channel's ping interval needs.").
				Default(defaultMaxList).Advanced().
				LintRule(config.LintPositive),
			service.NewIntField(fieldParallel).
				Description("How many messages of a list the server runs the service for at once, at most 50. More than 1 "+
					"helps if the service waits for something, such as a database.").
				Default(1).Advanced().
				LintRule(config.LintPositive),
		).
		Example("Enrichment", "Adds the customer to each order. If that fails, the order continues without the customer.", `
pipeline:
  processors:
    - branch:
        request_map: 'root.id = this.customer_id'
        processors:
          - zato_wsx:
              connection:
                address: wss://zato.example.com/my.wsx
                username: ${ZATO_WSX_USERNAME}
                secret_env: ZATO_WSX_SECRET
              service: customer.get
        result_map: 'root.customer = this'
    - catch:
        - log:
            level: WARN
            message: 'no customer: ${! error() }'
`).
		Example("A channel on a single service", "Sends the whole message to the channel's service.", `
pipeline:
  processors:
    - zato_wsx:
        connection:
          address: ws://localhost:48902/my.echo
        timeout: 5s
`)
}
