package input

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/wsx"
)

// Names of the fields of the zato_wsx input.
const (
	fieldTopics       = "topics"
	fieldSubscription = "subscription"
	fieldShared       = "shared"
	fieldMode         = "mode"
	fieldDurable      = "durable"
	fieldSubKeys      = "sub_keys"
	fieldCache        = "cache"
	fieldCachePrefix  = "cache_prefix"
	fieldJournal      = "journal"
	fieldPath         = "path"
	fieldMaxSize      = "max_size"
	fieldUnsubscribe  = "unsubscribe_on_close"
	fieldPrefetch     = "prefetch_count"
	fieldMetadata     = "metadata"
	fieldRespond      = "respond_to_messages"
	fieldDropExpired  = "drop_expired"
)

// Values of the fields mode and metadata.
const (
	modeSubscribeOrResume = "subscribe_or_resume"
	modeSubscribe         = "subscribe"
	modeResume            = "resume"

	metadataDefault = "default"
	metadataAll     = "all"
	metadataNone    = "none"
)

// Mistakes that the linter and the constructor report alike.
var (
	errPushFields = errors.New("cache, sub_keys, mode, durable and respond_to_messages say how Zato pushes messages: " +
		"remove them, or remove subscription, shared and gateway: connect, with which messages are fetched")
	errStockGateway = errors.New("subscription and shared need the companion services: " +
		"remove these fields, or set connection.gateway to auto or connect")
)

// lintSubscriptions checks fields that depend on each other. It also checks the topics, because a rule of a list field
// runs for each element.
func lintSubscriptions() string {
	return fmt.Sprintf(`let topics = this.topics.or([])
let known = this.sub_keys.or({}).keys()
let pushes = this.cache.or("") != "" || $known.length() > 0 || this.exists("durable") ||
  this.mode.or("subscribe_or_resume") != "subscribe_or_resume" || this.respond_to_messages.or(false)
let named = this.subscription.or("") != "" || this.shared.or(false)
let gateway = this.connection.gateway.or("auto")
let keyless = if this.cache.or("") == "" { $topics.filter(t -> !$known.contains(t)) } else { [] }
root = if $topics.length() == 0 {
  [ "topics: at least one topic is needed" ]
} else if $topics.any(t -> t == "") {
  [ "topics: a topic is empty" ]
} else if $topics.unique().length() != $topics.length() {
  [ "topics: a topic is listed twice: every message would arrive twice" ]
} else if $named && $gateway == "stock" {
  [ %q ]
} else if $pushes && ($named || $gateway == "connect") {
  [ %q ]
} else if this.mode.or("") == "resume" && $keyless.length() > 0 {
  [ "mode: resume needs a cache, or a key in sub_keys for every topic" ]
} else if this.durable.or(false) && !this.unsubscribe_on_close.or(false) && $keyless.length() > 0 {
  [ "durable: needs a cache, a key in sub_keys, or unsubscribe_on_close: " +
    "after a crash, a queue that grows would stay at the server" ]
}`, errStockGateway, errPushFields)
}

const (
	defaultCachePrefix = "zato_wsx."
	defaultJournalSize = 1 << 30
)

// spec describes the zato_wsx input.
func spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Beta().
		Categories("Services").
		Summary("Receives messages from Zato topics over a WebSocket channel.").
		Description(description()).
		Fields(
			config.ConnectionField(),
			service.NewStringListField(fieldTopics).
				Description("The topics to receive. Each topic is subscribed by itself, over a connection of its own. If Zato "+
					"refuses one, the reason is logged and the subscription is retried, while the other topics flow. The "+
					"input fails to connect only if all topics fail.").
				Example([]string{"/orders/new", "/orders/paid"}),
			service.NewStringField(fieldSubscription).
				Description("The name of the subscription of each topic. Messages are fetched from it if the channel is mounted "+
					"on the companion services (zato/README.md), as [Delivery](#delivery) describes. Zato keeps the subscription "+
					"and its queue when the process ends, and the next process that uses the name gets the messages that were "+
					"not acknowledged. Give each pipeline a name of its own: one with the same name takes the subscription over. "+
					"The default is the label of the input.").
				Example("orders-archive").
				Default(""),
			service.NewBoolField(fieldShared).
				Description("Whether several processes with the same `subscription` share its messages, so that each message "+
					"goes to one of them. If false, one process receives, and the others stand by until it ends.").
				Default(false),
			service.NewStringAnnotatedEnumField(fieldMode, map[string]string{
				modeSubscribeOrResume: "Resume the subscription if its key is known. Make a new subscription if no key is known " +
					"or the subscription cannot be resumed.",
				modeSubscribe: "Always make a new subscription at the start. An existing durable subscription stays at the " +
					"server, with its queue.",
				modeResume: "Resume the subscription. Fail if no key is known or the subscription cannot be resumed.",
			}).
				Description("How to subscribe at the start. The key of an existing subscription is taken from `cache`, or else "+
					"from `sub_keys`.").
				Default(modeSubscribeOrResume),
			service.NewBoolField(fieldDurable).
				Description("Whether new subscriptions are durable. A durable subscription and its queue survive the end of "+
					"the connection. The gateway that Zato ships cannot make durable subscriptions: in this case a warning is "+
					"logged, and messages that are published while there is no connection are lost. The default is true if "+
					"`cache` is set, and false otherwise.").
				Optional(),
			service.NewStringField(fieldCache).
				Description("The label of a cache resource that stores the keys of subscriptions, so that the next process can "+
					"resume them. Use a cache that outlives the process, such as `file` or `redis`, without a time to live. "+
					"Anyone who can read the cache can take over the subscriptions.").
				Default(""),
			service.NewStringField(fieldCachePrefix).
				Description("The prefix of this input's cache keys. The topic is appended to it. If several pipelines, "+
					"processes or servers share a cache, set a different prefix for each: otherwise they take over each "+
					"other's subscriptions.").
				Default(defaultCachePrefix).Advanced(),
			service.NewStringMapField(fieldSubKeys).
				Description("The keys of existing subscriptions, by topic. These keys are not stored in `cache`. If a "+
					"subscription cannot be resumed, a new one replaces it, and the key of the new one is stored. With "+
					"its key, any client can take over a subscription.").
				Example(map[string]any{"/orders/new": "${ORDERS_SUB_KEY}"}).
				Default(map[string]any{}).Secret(),
			service.NewBoolField(fieldUnsubscribe).
				Description("Whether to unsubscribe when the input is closed, which deletes the queues at the server. If false, "+
					"durable subscriptions stay at the server and their queues grow until they are resumed.").
				Default(false),
			service.NewObjectField(fieldJournal,
				service.NewStringField(fieldPath).
					Description("The path of the journal file. If empty, there is no journal. The directory must exist. Each "+
						"input needs a file of its own. The file contains the keys of subscriptions beside the messages, so "+
						"protect it.").
					Example("/var/lib/zato-connect/orders.journal").
					Default(""),
				service.NewIntField(fieldMaxSize).
					Description("The largest number of bytes of unacknowledged frames. Beyond it, a warning is logged and the "+
						"connections are not read, so that messages wait in their queues at the server.").
					Default(defaultJournalSize).Advanced().
					LintRule(config.LintPositive),
			).
				Description("A file on disk for pushed messages that the pipeline has not acknowledged. Each frame is written to "+
					"the file and synced before the pipeline receives it, and is removed when the pipeline has acknowledged it. "+
					"Whatever is in the file when the process ends, even by a kill, is delivered first at the next start, with "+
					"`zato_replayed` set. With a journal, the connections are read at once even if the pipeline is slow."),
			service.NewIntField(fieldPrefetch).
				Description("The largest number of frames of each topic that may wait for the pipeline. A frame has up to 500 "+
					"messages. While as many frames wait, the connection is not read, and further messages wait in the queue "+
					"at the server. With a journal, frames wait there instead. A small number, such as 10, is enough to "+
					"decode large frames on several processors. A larger one, such as 256, lets many small frames become few "+
					"batches. If messages are fetched, this is the largest number of batches of 500 that may wait, and one "+
					"call fetches up to that many messages: with a large backlog, 4 needs a quarter of the calls. A batch "+
					"of a `shared` subscription has no more than the pipeline delivers in about two seconds.").
				Default(wsx.DefaultPrefetchCount).Advanced().
				LintRule(config.LintPositive),
			service.NewStringAnnotatedEnumField(fieldMetadata, map[string]string{
				metadataDefault: "The fields that most pipelines need.",
				metadataAll:     "All fields.",
				metadataNone:    "No fields, which is fastest.",
			}).
				Description("Which metadata fields to set on each message.").
				Default(metadataDefault).Advanced(),
			service.NewBoolField(fieldRespond).
				Description("Whether to send a response to Zato for each message that arrives alone in its frame. It is sent "+
					"when the pipeline has acknowledged the message, and contains what the pipeline handed to "+
					"`sync_response`, or null. Zato passes it to the channel's `on_pubsub_response` hook. Messages that "+
					"arrive together get no response, and neither do messages that were read back from the journal's file. "+
					"With this field set, every frame is a batch by itself.").
				Default(false).Advanced(),
			service.NewBoolField(fieldDropExpired).
				Description("Whether to drop messages that had expired when Zato sent them. Zato pushes such messages when a "+
					"subscription is resumed, if nothing was published to the topic since they expired. Its own clock decides, "+
					"not that of this machine. If false, they get the metadata field `zato_expired`. Fetched messages have "+
					"never expired.").
				Default(true).Advanced(),
			service.NewAutoRetryNacksToggleField(),
			service.NewExtractTracingSpanMappingField().Example("root.traceparent = @zato_correl_id"),
		).
		LintRule(lintSubscriptions()).
		Example("Write a topic to files", "Appends each message of a topic to the file of the current day.", `
input:
  zato_wsx:
    connection:
      address: wss://zato.example.com/my.wsx
      username: ${ZATO_WSX_USERNAME}
      secret_env: ZATO_WSX_SECRET
    topics: [ /orders/new ]

output:
  file:
    path: ./orders-${! now().ts_format("2006-01-02") }.jsonl
    codec: lines
`).
		Example("Lose nothing with the companion services", "Messages stay in Zato until they are written to the file, also "+
			"if this process is killed.", `
input:
  zato_wsx:
    connection:
      address: wss://zato.example.com/my.wsx.connect
      username: ${ZATO_WSX_USERNAME}
      secret_env: ZATO_WSX_SECRET
      gateway: connect
    topics: [ /orders/new ]
    subscription: orders-archive

output:
  file:
    path: ./orders.jsonl
    codec: lines
`).
		Example("Lose little if Zato pushes", "The key of the subscription is cached, so that the next process resumes the "+
			"subscription, if the gateway supports durable ones. Messages that were read stay in the journal until they "+
			"are written to the file.", `
input:
  zato_wsx:
    connection:
      address: wss://zato.example.com/my.wsx
      username: ${ZATO_WSX_USERNAME}
      secret_env: ZATO_WSX_SECRET
    topics: [ /orders/new ]
    cache: keys
    journal:
      path: /var/lib/zato-connect/orders.journal

cache_resources:
  - label: keys
    file:
      directory: /var/lib/zato-connect/keys

output:
  file:
    path: ./orders.jsonl
    codec: lines
`).
		Example("Resume an existing subscription", "Resumes a durable subscription that an administrator made, or fails.", `
input:
  zato_wsx:
    connection:
      address: ws://localhost:48902/my.wsx
      username: ${ZATO_WSX_USERNAME}
      secret_env: ZATO_WSX_SECRET
    topics: [ /orders/new ]
    mode: resume
    sub_keys:
      /orders/new: ${ORDERS_SUB_KEY}
`)
}

func description() string {
	var d strings.Builder
	d.WriteString(`
== Delivery

How messages arrive depends on what the channel is mounted on:

- With the companion services (zato/README.md), this input fetches them. A message stays in its queue in Zato
  until the pipeline has acknowledged it, so nothing is lost if the process is killed, the connection breaks or
  Zato restarts. The subscription needs a name: ` + "`subscription`" + `, or the label of the input.
- With the gateway that Zato ships, Zato pushes them, and counts each as delivered when it has sent it. The same
  applies if the input has no name, and if ` + "`cache`, `sub_keys`, `mode`, `durable` or `respond_to_messages`" + `
  is set, because these fields say how Zato pushes.

In both cases, the input retries what the pipeline rejects, before it delivers anything new: at once the first
time, and then after about 10 milliseconds to a second. If an output has delivered a part of a batch, only the
rest is retried. The messages are identified by ` + "`zato_msg_id`" + `. If the pipeline has removed or changed
these ids, the whole batch is retried, in halves.

Messages that matter also need guaranteed delivery in Zato, set for the topic or by the publisher. Without it,
Zato keeps them in memory only.

=== Fetched messages

Zato keeps the subscription, with its queue, when the process ends. The next process that uses its name gets the
messages that were not acknowledged, with a higher ` + "`zato_delivery_count`" + `. A message can arrive twice
if the process ends after the pipeline has delivered it and before Zato has the confirmation, which is usually
some milliseconds later.

A process that uses the name of a running one takes the subscription over. The other one logs a warning and
stands by. It gets the subscription back when the new one ends, or does not fetch for 30 seconds. With ` +
		"`shared: true`" + `, any number of processes receive at the same time, and each message goes to one of them. If
one of them is killed, the others get its messages after 30 seconds.

With ` + "`auto_replay_nacks: false`" + `, rejected messages go back to their queue and are fetched again: the
first time at once, and later after up to five seconds. With ` + "`unsubscribe_on_close`" + `, the queue is deleted. A
` + "`journal`" + ` is not needed: messages
that an earlier process left in it are delivered first, and fetched ones do not pass through it. A durable
subscription that was pushed before stays in Zato, and its queue grows. The page docs/guarantees.md says how to
drain and delete it.

=== Pushed messages

If the connection breaks or the process is killed, messages that Zato has sent and this input has not read are
lost. When the input is closed, so are those that were read and not acknowledged, and an error is logged with
their number. With a ` + "`journal`" + `, those that were read stay in the journal, also if the process is killed,
and are delivered first at the next start. With ` + "`auto_replay_nacks: false`" + `, rejected messages are dropped.

Without guaranteed delivery, Zato drops the queue when the connection ends.

== Order and batches

Zato sorts messages by priority and then by time. The input keeps that order within a topic. Messages that wait for the
pipeline become batches of up to about 500. The content of a message is the published text, or JSON if a service
published something that is not a text. Zato may push a message twice: duplicates are dropped if they are among the
last 10,000 messages of their topic.

== Reconnects

Each topic has a connection of its own. A lost connection is reopened, and its subscription is restored. If messages are
fetched, or the subscription is durable, that includes the messages that were queued meanwhile. Otherwise a new
subscription replaces it, and messages that were published meanwhile may be lost.

== Metadata

`)
	for _, f := range metadataFields() {
		d.WriteString("- " + f.name + ": " + f.description)
		if f.extra {
			d.WriteString(" (only with `metadata: all`)")
		}
		d.WriteString("\n")
	}
	d.WriteString("- " + metaReplayed + ": true if an earlier process read the message and left it in the journal; that " +
		"process may have delivered it\n")
	d.WriteString("- " + metaExpired + ": true if the message had expired when Zato sent it (only with " +
		"`drop_expired: false`)\n")
	d.WriteString("\nA message has no metadata field for a value that it does not have. Numeric fields are numbers.\n")
	return d.String()
}
