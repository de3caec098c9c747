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

// metaRequestID is the metadata that a request has.
const metaRequestID = "zato_request_id"

const defaultMaxInFlight = 64

// requestsSpec describes the zato_wsx_requests input.
func requestsSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Beta().
		Categories("Services").
		Summary("Receives the requests that services of Zato send to a WebSocket client, and answers them.").
		Description(`
A service of Zato can call a client that is connected, and wait for its answer. Each such request becomes a message:
the text itself where the request is a text, else its JSON, and empty where Zato sent nothing, as it does for
everything that Python takes as false.

What the pipeline hands to a `+"`sync_response`"+` processor or output is the answer, once the message is through: as
JSON where it is JSON, else as a text. Of several responses the last one counts, and one of several messages is
answered as a list. With no response, the answer is null.

A message that is rejected, and a response that is flagged as failed, are answered as `+"`{\"error\": TEXT}`"+`. So is
a request that has no answer within `+"`timeout`"+`; an answer that comes later is dropped, and counted. Nothing is
tried again: the service waits, and decides.

When the connection is lost or the time is over, the context of the message ends, and the calls of a `+"`zato_wsx`"+`
processor that are made for it end too. A `+"`memory`"+` buffer between this input and the response breaks the link
between the two.

Requests come over a connection of their own, for Zato reads no answer from a connection while it runs a service for
it. A service that looks for clients by their id finds each of their connections, and those of other components refuse
requests. So give this input a `+"`client_id`"+`, or `+"`attributes`"+`, that no other component has. A broadcast
reaches all connections of a channel, this one too.

== Metadata

- `+metaRequestID+`: the server's id of the request

== Metrics

- zato_wsx_requests, by result: answered, failed (answered with an error), timed_out, cancelled (connection lost)
- zato_wsx_requests_answered_late: answers that came when nobody waited any more
`).
		Fields(
			config.ConnectionField(),
			service.NewDurationField(fieldTimeout).
				Description("How long a request may take, the wait in front of the pipeline included. Zato waits five "+
					"seconds unless the service says otherwise; what is shorter makes it see an error instead of nothing.").
				Default(wsx.DefaultRequestTimeout.String()).
				LintRule(config.LintDuration),
			service.NewIntField(fieldMaxInFlight).
				Description("How many requests may be in the pipeline at once. More wait in front of it. How many are worked "+
					"on at once is set by the `threads` of the pipeline.").
				Default(defaultMaxInFlight).
				LintRule(config.LintPositive),
			service.NewExtractTracingSpanMappingField(),
		).
		Example("Prices on request", "Answers each request of a Zato service with the price from an HTTP server.", `
input:
  zato_wsx_requests:
    connection:
      address: wss://zato.example.com/my.wsx
      username: ${ZATO_WSX_USERNAME}
      secret: ${ZATO_WSX_SECRET}
      client_id: prices

pipeline:
  threads: 16
  processors:
    - http:
        url: http://localhost:8080/prices/${! this.item }
        verb: GET
        timeout: 3s
    - sync_response: {}

output:
  drop: {}
`)
}
