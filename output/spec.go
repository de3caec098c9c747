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
	fieldMsgID       = "msg_id"
	fieldTimeout     = "timeout"
	fieldBatching    = "batching"
	fieldMaxList     = "max_list"
	fieldRetryLost   = "retry_lost"
)

// defaultMaxList is enough: a call with more messages is not faster.
const defaultMaxList = 100

func spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Beta().
		Categories("Services").
		Summary("Publishes messages to Zato topics over a WebSocket channel.").
		Description(`
The content of a message is published as text, because Zato topics carry text. JSON is published unchanged.

With the [companion services](../../zato/README.md), the messages of a batch that have the same topic are published in
one call, which is several times as fast. While a call for a topic is under way, the messages that arrive wait and make
up the next call. So there are few messages in a call when traffic is thin, and no message waits for others to arrive.
`+"`max_list`"+` bounds the messages of a call. In a batch, the messages of a topic keep their order: if a call fails,
those behind it are not sent, and are rejected too. On any other gateway, each message is a call of its own, and
`+"`max_in_flight`"+` calls run at once. With 1, or with `+"`msg_id`"+`, the messages of a topic in a batch keep their
order there too.

Delivery is at least once. A message is acknowledged when Zato has accepted it. A message that was not sent because
there was no connection is sent on the next connection. If the connection ends before Zato has answered, Zato may or
may not have accepted the message. The output then sends it again on the next connection, within `+"`timeout`"+`, so it
may be published twice. With `+"`retry_lost: false`"+` such a message is rejected instead, and the input decides. Most
inputs send it again, together with the rest of its batch.

With `+"`msg_id`"+` and the companion services, a message can be sent again without being published twice, because Zato
recognizes its id. The output does so within `+"`timeout`"+` if the connection ends before Zato has answered, whatever
`+"`retry_lost`"+` says, and if Zato answers with the status 500. See [guarantees](../guarantees.md#published-once) for
how long Zato knows an id.

A message that Zato refuses is rejected too. To send such messages elsewhere, use this output in a `+"`fallback`"+`
output.

Zato keeps messages without guaranteed delivery in memory, and a topic has a largest number of them. On other gateways,
Zato accepts more and loses them. With the companion services, the output waits until the topic has room and publishes
them in their order, and logs a warning once for each topic. If the topic has no room within `+"`timeout`"+`, the
messages are rejected ([depths](../zato.md#depths)).

A topic without a subscriber keeps its messages for the first one, or drops them if it is set up so in Zato
(`+"`on_no_subs_pub: drop`"+`). Then the output acknowledges the messages, logs a warning once for each topic, and
counts them in the metric `+"`zato_wsx_messages_dropped_without_subscriber`"+`. If the channel is not mounted on a
gateway, all messages are rejected, because nothing publishes them.

Invalid messages are rejected without being sent, with an error that names the field. Examples are content that is
empty or not valid UTF-8, an interpolated priority outside 1 to 9, and an id of more than 200 characters. Zato would
refuse or damage such messages. Fields without interpolations are checked before the pipeline starts.

Without the companion services, Zato 3.3 ignores `+"`msg_id`"+`, `+"`mime_type`"+` (it delivers application/json),
`+"`ext_client_id`"+` and `+"`ext_pub_time`"+`. They are sent for other versions.
`).
		Fields(
			config.ConnectionField(),
			service.NewInterpolatedStringField(fieldTopic).
				LintRule(lintRule(fieldTopic)).
				Description("The topic to publish to.").
				Example("/orders/new").Example(`/orders/${! this.kind }`),
			service.NewInterpolatedStringField(fieldPriority).
				LintRule(lintRule(fieldPriority)).
				Description("The priority, from 1 to 9. Zato delivers messages with a higher priority first. If empty, Zato uses "+
					"its default of 5.").
				Example("7").Example(`${! @zato_priority }`).
				Default(""),
			service.NewInterpolatedStringField(fieldExpiration).
				LintRule(lintRule(fieldExpiration)).
				Description("The time in seconds after which Zato may drop the message if it is not delivered. If empty, the "+
					"setting of the topic applies. Zato shortens a longer time to the limit of the topic, by default a day.").
				Default(""),
			service.NewInterpolatedStringField(fieldCorrelID).
				LintRule(lintRule(fieldCorrelID)).
				Description("The correlation id, of up to 200 characters. If empty, each message gets one.").
				Default(""),
			service.NewInterpolatedStringField(fieldInReplyTo).
				LintRule(lintRule(fieldInReplyTo)).
				Description("The id of the message that this message replies to, of up to 200 characters.").
				Default(""),
			service.NewInterpolatedStringField(fieldHasGD).
				LintRule(lintRule(fieldHasGD)).
				Description("Whether the message has guaranteed delivery: `true` or `false`. If empty, the setting of the topic "+
					"applies. `false` needs the companion services: without them, Zato takes it for empty.").
				Default(""),
			service.NewInterpolatedStringField(fieldMsgID).
				LintRule(lintRule(fieldMsgID)).
				Description("The id of the message, of up to 200 characters. It needs the companion services. A message with "+
					"an id that Zato knows in the same topic is not published again, so give each message an id of its own, "+
					"and give a message that is sent again the same one. An id of a message of another topic is refused. If "+
					"empty, Zato generates one.").
				Example(`${! @kafka_topic }/${! @kafka_partition }/${! @kafka_offset }`).
				Default(""),
			service.NewInterpolatedStringField(fieldMimeType).
				LintRule(lintRule(fieldMimeType)).
				Description("The MIME type of the content, of up to 200 characters.").
				Default("").Advanced(),
			service.NewInterpolatedStringField(fieldExtClientID).
				Description("The id of the publisher, as chosen by the publisher. The companion services take up to 200 "+
					"characters.").
				Default("").Advanced(),
			service.NewInterpolatedStringField(fieldExtPubTime).
				Description("The time at which the publisher created the message, in UTC and in the format of ISO 8601.").
				Default("").Advanced(),
			service.NewDurationField(fieldTimeout).
				Description("The time limit for publishing a message, from the wait for a free connection to Zato's answer. "+
					"For messages that are published in one call, it begins with the call. For messages that wait until a full "+
					"topic has room, it begins again whenever the topic had room.").
				Default("30s").
				LintRule(config.LintDuration),
			service.NewOutputMaxInFlightField(),
			service.NewBatchPolicyField(fieldBatching),
			service.NewIntField(fieldMaxList).
				Description("The largest number of messages in one call, with the companion services. A call also has no more "+
					"than about 8 MiB, unless a single message is larger.").
				Default(defaultMaxList).
				LintRule(config.LintPositive).Advanced(),
			service.NewBoolField(fieldRetryLost).
				Description("Whether to send a message again if the connection ends before Zato's answer arrives. If false, the "+
					"message is rejected.").
				Default(true).Advanced(),
			service.NewInjectTracingSpanMappingField().Example("meta traceparent = this.traceparent"),
		).
		Example("Lines of a file", "Publishes each line of a file. Urgent orders get the highest priority.", `
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
      secret_env: ZATO_WSX_SECRET
    topic: /orders/new
    priority: ${! if this.urgent.or(false) { 9 } else { 5 } }
    correl_id: ${! this.id }
`).
		Example("Refused messages", "Writes messages that Zato refuses to a file, together with the reason.", `
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
            root.content_base64 = content().encode("base64") # a text could not hold all bytes
            root.error = @fallback_error
`)
}
