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
)

// Names of the metadata that it sets.
const (
	metaStatus    = "zato_status"
	metaRequestID = "zato_request_id"
	metaCID       = "zato_cid"
)

const defaultMaxInFlight = 64

func spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Beta().
		Categories("Services", "Integration").
		Summary("Invokes a Zato service for each message over a WebSocket channel.").
		Description(`
The answer of the service becomes the content of the message: the text itself where the answer is a text, else its JSON.
Through a gateway, Zato answers with an empty text for everything that Python takes as false, which becomes an empty
content. To keep the message and add to it, put this processor into a `+"`branch`"+`.

The calls of a batch run in parallel, each on a connection of its own as far as `+"`max_connections`"+` goes, and their
results are in the order of the batch.

A message whose call fails keeps its content and is flagged as failed, so that `+"`catch`"+`, `+"`switch`"+` with
`+"`errored()`"+` and the like apply; the others go on. The error names the service and says what the server said.

A call that was certainly not sent waits for a connection, within `+"`timeout`"+`. A call whose answer was lost fails,
for the service may have run; where running it twice does no harm, set `+"`retry_lost`"+`.

A request that Python takes as false ({}, [], "", 0, false, null) reaches a service behind a gateway as the gateway's
own arguments: a defect of Zato.

== Metadata

- `+metaStatus+`: the status of the answer, as in HTTP, whether good or bad
- `+metaRequestID+`: the id with which the request was sent
- `+metaCID+`: the server's correlation id of a failure, to search its log for
`).
		Fields(
			config.ConnectionField(),
			service.NewInterpolatedStringField(fieldService).
				Description("The name of the service. Empty on a channel that is mounted on one service.").
				Example("customer.get").
				Default(""),
			service.NewBloblangField(fieldRequest).
				Description("What to send. By default the content of the message: as JSON where it is JSON, else as a text.").
				Example(`root = { "id": this.customer_id }`).
				Optional(),
			service.NewDurationField(fieldTimeout).
				Description("How long a call may take, the wait for a free connection included.").
				Default("30s").
				LintRule(config.LintDuration),
			service.NewIntField(fieldMaxInFlight).
				Description("How many calls may run at once, over all threads of the pipeline. More than "+
					"`max_connections` times `calls_per_connection` only wait.").
				Default(defaultMaxInFlight).
				LintRule(config.LintPositive),
			service.NewStringField(fieldRateLimit).
				Description("The label of a rate limit resource to respect.").
				Default("").Advanced(),
			service.NewBoolField(fieldRetryLost).
				Description("Whether to send a call again whose answer was lost with the connection. The service may then "+
					"run twice.").
				Default(false).Advanced(),
		).
		Example("Enrichment", "Adds the customer to each order. An order whose customer cannot be had goes on without.", `
pipeline:
  processors:
    - branch:
        request_map: 'root.id = this.customer_id'
        processors:
          - zato_wsx:
              connection:
                address: wss://zato.example.com/my.wsx
                username: ${ZATO_WSX_USERNAME}
                secret: ${ZATO_WSX_SECRET}
              service: customer.get
        result_map: 'root.customer = this'
    - catch:
        - log:
            level: WARN
            message: 'no customer: ${! error() }'
`).
		Example("A channel on one service", "The whole message is the input of the channel's service.", `
pipeline:
  processors:
    - zato_wsx:
        connection:
          address: ws://localhost:48902/my.echo
        timeout: 5s
`)
}
