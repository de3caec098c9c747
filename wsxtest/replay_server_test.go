package wsxtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/zato-connect/zato-connect/wsxtest"
)

// recordedServer is what was different at the server when a recording was made.
type recordedServer struct {
	options []wsxtest.Option
	// otherSubscriber is the topic of a subscriber that is not in the recording.
	otherSubscriber string
	// badRequests are the messages of the first answers with status 500. Since the
	// recording was made, these answers have the status 400.
	badRequests []string
}

var recordedServers = map[string]recordedServer{
	"connect-describe": {options: []wsxtest.Option{
		wsxtest.WithChannel(connectChannel(`{
			"name": "zato-connect", "version": 1,
			"can": ["subscribe-durable", "resume", "resume-stored", "publish-list", "publish-known", "invoke-list"],
			"limits": {"publish_messages": 2000, "invoke_requests": 1000, "invoke_seconds": 20, "stored_ids": 1000},
			"services": ["connect.try", "my.echo", "my.fail", "my.fast", "my.nothing", "my.sleep", "my.slow5", "my.slow50",
				"zato.ping"]
		}`)),
		wsxtest.WithChannel(wsxtest.Channel{
			Path: "/my.wsx.stock", Username: "user1", Secret: "secret1", Gateway: wsxtest.Stock,
		}),
	}},
	"connect-fetch": {options: []wsxtest.Option{
		wsxtest.WithChannel(connectChannel("")), guaranteed("/my/orders.gd"),
		wsxtest.WithCreationDelay(1300 * time.Millisecond),
	}},
	"connect-publish": {options: []wsxtest.Option{
		wsxtest.WithChannel(connectChannel("")), guaranteed("/my/gd"),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/my/inactive", Inactive: true}),
		wsxtest.WithTopic(wsxtest.Topic{Name: "/my/drop", DropWithoutSubscribers: true}),
	}, badRequests: []string{"topic_name is missing", "messages is missing"}},
	"connect-invoke": {options: []wsxtest.Option{
		wsxtest.WithChannel(connectChannel("")),
		wsxtest.WithService("my.fail", func(context.Context, wsxtest.Invocation) (any, error) {
			return nil, errors.New("No luck")
		}),
		wsxtest.WithService("my.sleep", func(ctx context.Context, inv wsxtest.Invocation) (any, error) {
			slept, err := wsxtest.Sleep(ctx, inv)
			raw, _ := json.Marshal(slept)
			return json.RawMessage(strings.Replace(string(raw), "seconds", "slept", 1)), err
		}),
	}, badRequests: []string{"service is missing"}},
	"deaf-after-takeover":     {options: []wsxtest.Option{guaranteed("/my/gd")}},
	"deaf-after-takeover-ram": {options: []wsxtest.Option{inMemory("/my/ram")}},
	"deaf-after-missed-pings": {options: []wsxtest.Option{guaranteed("/my/gd")}},
	"unsubscribe-by-others": {options: []wsxtest.Option{
		guaranteed("/my/topic.1"), guaranteed("/my/topic.2"), channel("/my.gw2"),
	}},
	"odd-text": {options: []wsxtest.Option{guaranteed("/my/topic.1")}},
	"right-by-priority": {options: []wsxtest.Option{
		guaranteed("/my/topic.1"),
		wsxtest.WithChannel(wsxtest.Channel{
			Path: patched, Username: "user1", Secret: "secret1", NoPublish: []string{"/other/t", "/other/nosuch"},
			NoSubscribe: []string{"/other/t", "/other/no"},
		}),
	}},
	"expired-while-away-later-publication": {options: []wsxtest.Option{guaranteed("/my/topic.1")}},
	"channel-edited":                       {options: []wsxtest.Option{guaranteed("/my/topic.1"), channel("/my.edit")}},
	"channel-deactivated":                  {options: []wsxtest.Option{guaranteed("/my/topic.1"), channel("/my.b4")}},
	"channel-deleted":                      {options: []wsxtest.Option{guaranteed("/my/topic.1"), channel("/my.b4b")}},
	"expired-while-away": {options: []wsxtest.Option{
		guaranteed("/my/topic.1"), inMemory("/my/topic.2"),
	}},
	"subscription-deleted": {options: []wsxtest.Option{guaranteed("/my/topic.1")}},
	"depth-exceeded-nobody": {options: []wsxtest.Option{
		wsxtest.WithTopic(wsxtest.Topic{Name: "/my/topic.1", GuaranteedDelivery: true, MaxDepthGD: 5}),
	}},
	"password-changed": {options: []wsxtest.Option{
		guaranteed("/my/topic.1"), wsxtest.WithChannel(wsxtest.Channel{Path: "/my.pw", Username: "pwuser", Secret: "old1"}),
	}},
	"restart-loses-durable":        {options: []wsxtest.Option{guaranteed("/my/gd")}},
	"restart-leaves-subscriptions": {options: []wsxtest.Option{guaranteed("/my/topic.1")}},
	"first-message-gd-late": {
		options:         []wsxtest.Option{guaranteed("/my/topic.1"), wsxtest.WithRegistrationDelay(100 * time.Millisecond)},
		otherSubscriber: "/my/topic.1",
	},
	"first-message-ram-lost": {
		options:         []wsxtest.Option{inMemory("/my/topic.1"), wsxtest.WithRegistrationDelay(100 * time.Millisecond)},
		otherSubscriber: "/my/topic.1",
	},
}

// connectChannel returns the channel of the recordings with the companion.
func connectChannel(description string) wsxtest.Channel {
	ch := wsxtest.Channel{
		Path: "/my.wsx.connect", Username: "user1", Secret: "secret1", Gateway: wsxtest.Connect,
		NoPublish: []string{"/other/gd"},
	}
	if description != "" {
		ch.Description = json.RawMessage(description)
	}
	return ch
}

func guaranteed(topic string) wsxtest.Option {
	return wsxtest.WithTopic(wsxtest.Topic{Name: topic, GuaranteedDelivery: true})
}

func inMemory(topic string) wsxtest.Option {
	return wsxtest.WithTopic(wsxtest.Topic{Name: topic})
}

// channel returns an option that adds a patched channel.
func channel(path string) wsxtest.Option {
	return wsxtest.WithChannel(wsxtest.Channel{Path: path, Username: "user1", Secret: "secret1"})
}
