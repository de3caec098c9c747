package input

import (
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/wsx"
)

// Names of the fields of the zato_wsx input.
const (
	fieldTopics      = "topics"
	fieldMode        = "mode"
	fieldDurable     = "durable"
	fieldSubKeys     = "sub_keys"
	fieldUnsubscribe = "unsubscribe_on_close"
	fieldPrefetch    = "prefetch_count"
	fieldMetadata    = "metadata"
	fieldRespond     = "respond_to_messages"
)

// The values of mode and of metadata.
const (
	modeSubscribeOrResume = "subscribe_or_resume"
	modeSubscribe         = "subscribe"
	modeResume            = "resume"

	metadataDefault = "default"
	metadataAll     = "all"
	metadataNone    = "none"
)

const (
	// The rule of a list is asked for each of its elements, so it stands here.
	//
	// Nothing remembers the key of a durable subscription over a restart, so
	// without one of these a queue is left behind that nobody reads.
	lintSubscriptions = `let topics = this.topics.or([])
let known = this.sub_keys.or({}).keys()
let keyless = $topics.filter(t -> !$known.contains(t))
root = if $topics.length() == 0 {
  [ "topics: at least one topic is needed" ]
} else if $topics.any(t -> t == "") {
  [ "topics: a topic is empty" ]
} else if $topics.unique().length() != $topics.length() {
  [ "topics: a topic is listed twice, every message would come twice" ]
} else if this.mode.or("") == "resume" && $keyless.length() > 0 {
  [ "mode: resume needs a key in sub_keys for every topic" ]
} else if this.durable.or(false) && !this.unsubscribe_on_close.or(false) && $keyless.length() > 0 {
  [ "durable: needs a key in sub_keys, or unsubscribe_on_close: else a crash leaves a queue at the server that grows" ]
}`
)

// spec describes the zato_wsx input.
func spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Beta().
		Categories("Services").
		Summary("Receives the messages of Zato topics over a WebSocket channel.").
		Description(description()).
		Fields(
			config.ConnectionField(),
			service.NewStringListField(fieldTopics).
				Description("The topics to receive. Each has a connection of its own.").
				Example([]string{"/orders/new", "/orders/paid"}),
			service.NewStringAnnotatedEnumField(fieldMode, map[string]string{
				modeSubscribeOrResume: "Resume the subscription of `sub_keys`; subscribe anew where there is none or that fails.",
				modeSubscribe:         "Subscribe anew at the start, whatever `sub_keys` says.",
				modeResume:            "Resume the subscription of `sub_keys`, or fail.",
			}).
				Description("What to do about subscriptions that exist at the server.").
				Default(modeSubscribeOrResume),
			service.NewBoolField(fieldDurable).
				Description("Whether new subscriptions outlive their connection, with what is queued in them. The gateway "+
					"that Zato ships cannot make such subscriptions; then a warning is logged, and what is published "+
					"while there is no connection is lost.").
				Default(false),
			service.NewStringMapField(fieldSubKeys).
				Description("Keys of subscriptions that exist at the server, by topic. Whoever holds a key can take the "+
					"subscription over.").
				Example(map[string]any{"/orders/new": "${ORDERS_SUB_KEY}"}).
				Default(map[string]any{}).Secret(),
			service.NewBoolField(fieldUnsubscribe).
				Description("Whether to end the subscriptions, with what is still queued, when the input is closed. Without "+
					"it, durable subscriptions stay at the server and go on queueing.").
				Default(false),
			service.NewIntField(fieldPrefetch).
				Description("How many frames may wait in front of the pipeline, of up to 500 messages each. While as many "+
					"wait, the connection is not read, and the rest queues at the server.").
				Default(wsx.DefaultPrefetchCount).Advanced().
				LintRule(config.LintPositive),
			service.NewStringAnnotatedEnumField(fieldMetadata, map[string]string{
				metadataDefault: "The fields that most pipelines need.",
				metadataAll:     "All fields.",
				metadataNone:    "None, which is fastest.",
			}).
				Description("Which fields of a message become metadata.").
				Default(metadataDefault).Advanced(),
			service.NewBoolField(fieldRespond).
				Description("Whether to send Zato a response to each message that came alone, once the pipeline is through "+
					"with it: what the pipeline handed to `sync_response`, else null. It reaches the hook "+
					"`on_pubsub_response` of the channel. Several messages that came at once are never responded to.").
				Default(false).Advanced(),
			service.NewAutoRetryNacksToggleField(),
			service.NewExtractTracingSpanMappingField(),
		).
		LintRule(lintSubscriptions).
		Example("A topic to files", "Each message of a topic becomes a line of a file of its day.", `
input:
  zato_wsx:
    connection:
      address: wss://zato.example.com/my.wsx
      username: ${ZATO_WSX_USERNAME}
      secret: ${ZATO_WSX_SECRET}
    topics: [ /orders/new ]

output:
  file:
    path: ./orders-${! now().ts_format("2006-01-02") }.jsonl
    codec: lines
`).
		Example("A subscription that waits", "Resumes a durable subscription that an administrator has made, or fails.", `
input:
  zato_wsx:
    connection:
      address: ws://localhost:48902/my.wsx
      username: ${ZATO_WSX_USERNAME}
      secret: ${ZATO_WSX_SECRET}
    topics: [ /orders/new ]
    mode: resume
    sub_keys:
      /orders/new: ${ORDERS_SUB_KEY}
`)
}

func description() string {
	var d strings.Builder
	d.WriteString(`
Messages that matter need guaranteed delivery at Zato, set for the topic or by the publisher: a queue in memory
dies with the connection, whatever a client does.

A frame of the server becomes one batch, in the server's order: by priority, then by time. The content is the text
that was published; where a service published something that is no text, it is its JSON. Repeats of a message, which
Zato is known to send, are dropped, within the last 10,000 messages of a topic.

When the connection is lost, it is opened again and the subscriptions are restored: durable ones are resumed with
what was queued meanwhile, others are made anew, and what was published meanwhile may be lost.

Zato knows no acknowledgement: what was read from the connection does not come again. A message that the pipeline
rejects is therefore tried again by this input, unless ` + "`auto_replay_nacks`" + ` is off; then it is gone once it is
rejected. What was read and not yet taken by the pipeline when the input is closed is logged as an error, with the
count.

== Metadata

`)
	for _, f := range metadataFields() {
		d.WriteString("- " + f.name + ": " + f.description)
		if f.only == metadataAll {
			d.WriteString(" (only with `metadata: all`)")
		}
		d.WriteString("\n")
	}
	d.WriteString("\nWhat a message does not have is absent. Numbers are numbers.\n")
	return d.String()
}
