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
	fieldCache       = "cache"
	fieldCachePrefix = "cache_prefix"
	fieldJournal     = "journal"
	fieldPath        = "path"
	fieldMaxSize     = "max_size"
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
	lintSubscriptions = `let topics = this.topics.or([])
let known = this.sub_keys.or({}).keys()
let keyless = if this.cache.or("") == "" { $topics.filter(t -> !$known.contains(t)) } else { [] }
root = if $topics.length() == 0 {
  [ "topics: at least one topic is needed" ]
} else if $topics.any(t -> t == "") {
  [ "topics: a topic is empty" ]
} else if $topics.unique().length() != $topics.length() {
  [ "topics: a topic is listed twice, every message would come twice" ]
} else if this.mode.or("") == "resume" && $keyless.length() > 0 {
  [ "mode: resume needs a cache, or a key in sub_keys for every topic" ]
} else if this.durable.or(false) && !this.unsubscribe_on_close.or(false) && $keyless.length() > 0 {
  [ "durable: needs a cache, a key in sub_keys, or unsubscribe_on_close: " +
    "else a crash leaves a queue at the server that grows" ]
}`
)

const (
	defaultCachePrefix = "zato_wsx."
	defaultJournalSize = 1 << 30
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
				modeSubscribeOrResume: "Resume the subscription whose key is known; subscribe anew where none is or that fails.",
				modeSubscribe: "Subscribe anew at the start, whatever key is known. A durable subscription that exists " +
					"stays at the server, with its queue.",
				modeResume: "Resume the subscription whose key is known, or fail.",
			}).
				Description("What to do about subscriptions that exist at the server.").
				Default(modeSubscribeOrResume),
			service.NewBoolField(fieldDurable).
				Description("Whether new subscriptions outlive their connection, with what is queued in them. The gateway "+
					"that Zato ships cannot make such subscriptions; then a warning is logged, and what is published "+
					"while there is no connection is lost. By default true where there is a `cache`, else false.").
				Optional(),
			service.NewStringField(fieldCache).
				Description("The label of a cache resource in which the keys of subscriptions are remembered, so that the "+
					"next process resumes them. Use one that outlives this process, such as `file` or `redis`, with no time "+
					"to live. Who can read the cache can take the subscriptions over.").
				Default(""),
			service.NewStringField(fieldCachePrefix).
				Description("What the entries of this input in the cache begin with; the topic follows. Inputs of different "+
					"pipelines, processes or servers that share a cache need a prefix each, or they take each other's "+
					"subscriptions over.").
				Default(defaultCachePrefix).Advanced(),
			service.NewStringMapField(fieldSubKeys).
				Description("Keys of subscriptions that exist at the server, by topic. In the cache is remembered only what "+
					"stands for one that could not be resumed. Whoever holds a key can take the subscription over.").
				Example(map[string]any{"/orders/new": "${ORDERS_SUB_KEY}"}).
				Default(map[string]any{}).Secret(),
			service.NewBoolField(fieldUnsubscribe).
				Description("Whether to end the subscriptions, with what is still queued, when the input is closed. Without "+
					"it, durable subscriptions stay at the server and go on queueing.").
				Default(false),
			service.NewObjectField(fieldJournal,
				service.NewStringField(fieldPath).
					Description("The file. Empty: there is no journal. Its directory must be there. Each input needs a file "+
						"of its own, which holds keys of subscriptions beside the messages.").
					Example("/var/lib/zato-connect/orders.journal").
					Default(""),
				service.NewIntField(fieldMaxSize).
					Description("How many bytes of frames to keep. Beyond it a warning is logged and the connection is not "+
						"read, so that the rest queues at the server.").
					Default(defaultJournalSize).Advanced().
					LintRule(config.LintPositive),
			).
				Description("A file in which every frame is written, and synced, before the pipeline sees it, and which it "+
					"leaves when the pipeline has taken it. What is in it when the process ends, however it ends, comes first "+
					"at the next start, flagged with `zato_replayed`. With a journal the connection is read promptly whatever "+
					"the pipeline does."),
			service.NewIntField(fieldPrefetch).
				Description("How many frames may wait in front of the pipeline, of up to 500 messages each. While as many "+
					"wait, the connection is not read, and the rest queues at the server. With a journal, frames wait there. "+
					"With a number like 10, long lists are decoded on several processors; with one like 256, many small frames "+
					"come in few batches.").
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
					"`on_pubsub_response` of the channel. Several messages that came at once are never responded to, nor are "+
					"those that waited in the journal alone.").
				Default(false).Advanced(),
			service.NewAutoRetryNacksToggleField(),
			service.NewExtractTracingSpanMappingField().Example("root.traceparent = @zato_correl_id"),
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
		Example("Nothing lost over restarts", "The key of the subscription is remembered, so that the next process resumes "+
			"it, and what was read is in the journal until it is in the file.", `
input:
  zato_wsx:
    connection:
      address: wss://zato.example.com/my.wsx
      username: ${ZATO_WSX_USERNAME}
      secret: ${ZATO_WSX_SECRET}
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

A frame of the server becomes one batch, in the server's order: by priority, then by time. Frames that wait become
one batch together, but not with ` + "`respond_to_messages`" + `. The content is the text that was
published; where a service published something that is no text, it is its JSON. Repeats of a message, which Zato is
known to send, are dropped, within the last 10,000 messages of a topic.

When the connection is lost, it is opened again and the subscriptions are restored: durable ones are resumed with
what was queued meanwhile, others are made anew, and what was published meanwhile may be lost.

Zato knows no acknowledgement: what was read from the connection does not come again. What the pipeline rejects is
therefore given to it again, before anything new: at once, and then after about 10 milliseconds to a second. Of a
batch of which an output has taken some, the others come again, as far as they can be told by ` + "`zato_msg_id`" + `,
else all of it, in halves. With ` + "`auto_replay_nacks`" + ` off, what is rejected is gone. What was read and not
yet taken by the pipeline when the input is closed is logged as an error, with the count; with a ` + "`journal`" + `, it
stays there and comes first at the next start, and so does what a killed process had read.

== Metadata

`)
	for _, f := range metadataFields() {
		d.WriteString("- " + f.name + ": " + f.description)
		if f.only == metadataAll {
			d.WriteString(" (only with `metadata: all`)")
		}
		d.WriteString("\n")
	}
	d.WriteString("- " + metaReplayed + ": true where an earlier process had read the message and left it in the " +
		"journal: it may have been delivered before\n")
	d.WriteString("\nWhat a message does not have is absent. Numbers are numbers.\n")
	return d.String()
}
