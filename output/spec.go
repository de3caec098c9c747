package output

import (
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
)

// Names of the fields of the zato_wsx output.
const (
	fieldTopic       = "topic"
	fieldPriority    = "priority"
	fieldExpiration  = "expiration"
	fieldMimeType    = "mime_type"
	fieldCorrelID    = "correl_id"
	fieldInReplyTo   = "in_reply_to"
	fieldExtClientID = "ext_client_id"
	fieldExtPubTime  = "ext_pub_time"
	fieldHasGD       = "has_gd"
	fieldTimeout     = "timeout"
)

func spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Beta().
		Categories("Services").
		Summary("Publishes messages to Zato topics over a WebSocket channel.").
		Description(`
The content of a message is published as text, which is what Zato topics carry: JSON goes out as the text it is.
Content that is empty or not valid UTF-8, a priority outside of 1 to 9 and whatever else Zato is known to refuse or to
spoil is an error that names the field, and is not sent.

A message is acknowledged when Zato has taken it. When the connection ends before the answer has come, nobody can
tell whether Zato has taken the message; it is rejected, which makes most inputs send it again, so it may be published
twice: at least once. A message that was certainly not sent is sent on the next connection.

A message that Zato refuses is rejected too. To send such messages elsewhere, put this output into a `+"`fallback`"+`.

What Zato 3.3 ignores is sent all the same: mime_type (it delivers application/json), ext_client_id and ext_pub_time.
`).
		Fields(
			config.ConnectionField(),
			service.NewInterpolatedStringField(fieldTopic).
				Description("The topic to publish to.").
				Example("/orders/new").Example(`/orders/${! this.kind }`),
			service.NewInterpolatedStringField(fieldPriority).
				Description("1 to 9, the highest first. Empty: Zato's default, 5.").
				Example("7").Example(`${! @zato_priority }`).
				Default(""),
			service.NewInterpolatedStringField(fieldExpiration).
				Description("After how many seconds the message may be forgotten undelivered. Empty: the topic's setting.").
				Default(""),
			service.NewInterpolatedStringField(fieldCorrelID).
				Description("The correlation id. Empty: Zato makes one up.").
				Default(""),
			service.NewInterpolatedStringField(fieldInReplyTo).
				Description("The id of the message that this one answers.").
				Default(""),
			service.NewInterpolatedStringField(fieldHasGD).
				Description("Whether the message has guaranteed delivery: true or false. Empty: the topic's setting.").
				Default(""),
			service.NewInterpolatedStringField(fieldMimeType).
				Description("The type of the content.").
				Default("").Advanced(),
			service.NewInterpolatedStringField(fieldExtClientID).
				Description("The publisher's own id.").
				Default("").Advanced(),
			service.NewInterpolatedStringField(fieldExtPubTime).
				Description("When the message was made by the publisher's clock: ISO 8601, UTC.").
				Default("").Advanced(),
			service.NewDurationField(fieldTimeout).
				Description("How long to wait for Zato's answer to a message.").
				Default("30s").
				LintRule(config.LintDuration),
			service.NewOutputMaxInFlightField(),
			service.NewInjectTracingSpanMappingField().Example("meta traceparent = this.traceparent"),
		).
		Example("Lines of a file", "Each line becomes a message; those that say so go first.", `
input:
  file:
    paths: [ ./orders.jsonl ]
    scanner:
      lines: {}

output:
  zato_wsx:
    connection:
      address: wss://zato.example.com/my.wsx
      username: ${ZATO_WSX_USERNAME}
      secret: ${ZATO_WSX_SECRET}
    topic: /orders/new
    priority: ${! if this.urgent.or(false) { 9 } else { 5 } }
    correl_id: ${! this.id }
`).
		Example("Refused messages aside", "What Zato does not take goes to a file with the reason.", `
output:
  fallback:
    - zato_wsx:
        connection:
          address: ws://localhost:48902/my.wsx
        topic: ${! this.topic }
    - file:
        path: ./refused.jsonl
        codec: lines
      processors:
        - mapping: |
            root.content = content().string()
            root.error = @fallback_error
`)
}
