package input

import (
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/wsx"
)

// Names of the fields of the zato_wsx_requests input.
const (
	fieldTimeout     = "timeout"
	fieldMaxInFlight = "max_in_flight"
)

// metaRequestID is the metadata field that has the id of a request.
const metaRequestID = "zato_request_id"

const defaultMaxInFlight = 64

// requestsSpec describes the zato_wsx_requests input.
func requestsSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Beta().
		Categories("Services").
		Summary("Receives requests that Zato services send to a WebSocket client, and answers them.").
		Description(`
A Zato service can send a request to a connected client and wait for the answer. Each request becomes a message. If the
request is a text, the content is that text. Otherwise it is the JSON of the request, on one line. The content is empty
if Zato sends nothing, as it does for every value that is false in Python.

The answer is what the pipeline hands to a `+"`sync_response`"+` processor or output. It is sent when the pipeline has
acknowledged the message: as JSON if it is valid JSON, and as a text otherwise. If there are several responses, the last
one is sent. A response of several messages is sent as a list. If there is no response, the answer is null.

If the message is rejected, or a message of the response is flagged as failed, the answer is
`+"`{\"error\": TEXT}`"+`. The same is true if there is no answer within `+"`timeout`"+`; an answer that comes later is
dropped and counted. Nothing is retried: the service is waiting, and decides.

Do not batch the requests with `+"`batched`"+`, or with the `+"`batching`"+` of a `+"`broker`"+`: the engine would give the
answers of a batch to the first of its requests. `+"`run`"+` and `+"`check`"+` refuse such a configuration. Elsewhere, the
requests of a batch get an error.

When the connection is lost or the timeout ends, the context of the message ends. This also ends the calls that a
`+"`zato_wsx`"+` processor is making for the message. A `+"`memory`"+` buffer between this input and the response breaks
both the link to the response and the link to the context.

Requests arrive over a connection of their own, because Zato reads no answer from a connection while it runs a service
for it. A service that looks clients up by their id finds every connection with that id, and the connections of other
components reject requests. Therefore give this input a `+"`client_id`"+`, or `+"`attributes`"+`, that no other
component has. A broadcast reaches all connections of a channel, including this one.

== Metadata

- `+metaRequestID+`: the id that the server gave the request

== Metrics

- zato_wsx_requests, by result: answered, failed (answered with an error), timed_out, cancelled (connection lost)
- zato_wsx_requests_answered_late: answers that came after the timeout or after the connection was lost
`).
		Fields(
			config.ConnectionField(),
			service.NewDurationField(fieldTimeout).
				Description("How long a request may take, including the time that it waits for the pipeline. A Zato service "+
					"waits five seconds by default. Set a shorter time here, so that the service receives an error and not "+
					"nothing.").
				Default(wsx.DefaultRequestTimeout.String()).
				LintRule(config.LintDuration),
			service.NewIntField(fieldMaxInFlight).
				Description("The largest number of requests in the pipeline at once. Further requests wait. The `threads` of "+
					"the pipeline set how many requests are processed at once.").
				Default(defaultMaxInFlight).
				LintRule(config.LintPositive),
			service.NewExtractTracingSpanMappingField(),
		).
		Example("Look up prices", "Answers each request of a Zato service with a price from an HTTP server.", `
input:
  zato_wsx_requests:
    connection:
      address: wss://zato.example.com/my.wsx
      username: ${ZATO_WSX_USERNAME}
      secret_env: ZATO_WSX_SECRET
      client_id: prices

pipeline:
  threads: 16
  processors:
    - try:
        # Check what becomes part of a URL.
        - mapping: |
            meta item = if this.item.re_match("^[a-z]+$").catch(false) { this.item } else { throw("item is not a word") }
        - http:
            url: http://localhost:8080/prices/${! @item }
            verb: GET
            timeout: 3s
    - sync_response: {}

output:
  drop: {}
`)
}
