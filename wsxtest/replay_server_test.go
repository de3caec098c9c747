package wsxtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	// notes are what happened to the server, by the first words of a note. before is the
	// same for events without a note, by their number.
	notes  map[string]func(*wsxtest.Server)
	before map[int]func(*wsxtest.Server)
	// scripted are services that a server of today does not have. Their answers come from
	// the recording, and they publish the messages of their requests.
	scripted []string
	// outdated are parts of recorded frames that a server of today sends differently.
	outdated map[string]string
	// reordered are the orders in which a server of today sends the messages of recorded
	// frames, by their time.
	reordered map[float64][]int
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
	}, badRequests: []string{"topic_name is missing", "messages is missing"}, reordered: map[float64][]int{
		1.495: {1, 0, 2},
	}},
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
	}},
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
	"subscription-deleted": {
		options: []wsxtest.Option{guaranteed("/my/topic.1")},
		notes: map[string]func(*wsxtest.Server){"the subscription is deleted": func(srv *wsxtest.Server) {
			for _, sub := range srv.Subscriptions() {
				srv.DeleteSubscription(sub.SubKey)
			}
		}},
	},
	"depth-exceeded-nobody": {options: []wsxtest.Option{
		wsxtest.WithTopic(wsxtest.Topic{Name: "/my/topic.1", GuaranteedDelivery: true, MaxDepthGD: 5}),
	}},
	"password-changed": {
		options: []wsxtest.Option{
			guaranteed("/my/topic.1"), wsxtest.WithChannel(wsxtest.Channel{Path: "/my.pw", Username: "pwuser", Secret: "old1"}),
		},
		notes: map[string]func(*wsxtest.Server){
			"the password is changed": func(srv *wsxtest.Server) { srv.SetSecret("/my.pw", "new1") },
		},
	},
	// The resumed messages came 45 ms after the response.
	"backlog-ram":  {options: []wsxtest.Option{wsxtest.WithResumeDelay(290 * time.Millisecond)}},
	"binary-frame": {},
	"resume-1200": {options: []wsxtest.Option{guaranteed("/my/gd.big")}, notes: map[string]func(*wsxtest.Server){
		"1200 messages are published": publish1200,
	}},
	"two-clients-subscribe-wsx":           recordedLater("/my/topic.1"),
	"two-clients-create-wsx-subscription": recordedLater("/my/topic.1"),
	"subscribe-twice":                     {options: []wsxtest.Option{guaranteed("/my/topic.1"), channel("/my.gw2")}},
	"topic-deleted": {
		options: []wsxtest.Option{guaranteed("/my/topic.1"), guaranteed("/my/topic.2")},
		notes: map[string]func(*wsxtest.Server){
			"the topic is deleted": func(srv *wsxtest.Server) { srv.DeleteTopic("/my/topic.1") },
			"a topic of the": func(srv *wsxtest.Server) {
				srv.CreateTopic(wsxtest.Topic{Name: "/my/topic.1", GuaranteedDelivery: true})
			},
		},
		before: map[int]func(*wsxtest.Server){41: func(srv *wsxtest.Server) { srv.DeleteTopic("/my/topic.2") }},
	},
	"pubsub-response-hook": {options: []wsxtest.Option{guaranteed("/my/topic.1"), channel("/my.hook")}},
	"server-killed":        {options: []wsxtest.Option{guaranteed("/my/topic.1"), inMemory("/my/topic.2")}},
	"server-stopped":       {options: []wsxtest.Option{guaranteed("/my/topic.1"), inMemory("/my/topic.2")}},
	"depth-not-exceeded-with-subscribers": {options: []wsxtest.Option{
		wsxtest.WithTopic(wsxtest.Topic{Name: "/my/topic.1", GuaranteedDelivery: true, MaxDepthGD: 5}),
		wsxtest.WithFirstRound(400 * time.Millisecond),
	}},
	"deaf-and-how-to-tell-gd":         {options: []wsxtest.Option{guaranteed("/my/topic.1"), administrative}},
	"deaf-and-how-to-tell-ram":        {options: []wsxtest.Option{inMemory("/my/topic.1"), administrative}},
	"object-published-by-service-gd":  publishingService(guaranteed("/my/topic.1")),
	"object-published-by-service-ram": publishingService(inMemory("/my/topic.1")),
	"publish-list": {
		options: []wsxtest.Option{guaranteed("/my/gd"), guaranteed("/orders/new")}, scripted: []string{"connect.publish"},
	},
	"publish-list-stock": {options: []wsxtest.Option{guaranteed("/my/gd")}, scripted: []string{"my.publish"}},
	"invoke-list":        {scripted: []string{"connect.invoke"}},
	"hot-deploy": {
		options: []wsxtest.Option{guaranteed("/my/topic.1"), channel("/my.wsx.old")},
		notes: map[string]func(*wsxtest.Server){
			"the gateway is deployed": func(srv *wsxtest.Server) {
				srv.Deploy("my.exp.hot", func(context.Context, wsxtest.Invocation) (any, error) {
					return map[string]int{"version": 2}, nil
				})
			},
		},
	},
	"no-endpoint": {options: []wsxtest.Option{wsxtest.WithChannel(wsxtest.Channel{
		Path: "/my.nopoint", Username: "user1", Secret: "secret1", NoEndpoint: true,
	})}},
	"restart-keeps-durable": {
		options: []wsxtest.Option{guaranteed("/my/gd2"), wsxtest.WithChannel(wsxtest.Channel{
			Path: "/my.wsx.gw", Username: "user1", Secret: "secret1", Gateway: wsxtest.Connect,
		})},
		outdated: map[string]string{
			"\"zato_gateway_response\": {\n                \"given_back\": 0\n            }": `"zato_gateway_response": ""`,
		},
	},
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

// recordedLater is a server whose rounds of delivery came later than usual.
func recordedLater(topic string) recordedServer {
	return recordedServer{options: []wsxtest.Option{guaranteed(topic), wsxtest.WithFirstRound(400 * time.Millisecond)}}
}

// administrative adds a patched channel that allows to look at subscriptions.
var administrative = wsxtest.WithChannel(wsxtest.Channel{
	Path: "/my.wsx.old", Username: "user1", Secret: "secret1", ServicesAllowed: []string{
		"zato.pubsub.delivery.get-server-pid-for-sub-key", "zato.pubsub.queue.get-queue-depth-by-sub-key",
		"zato.pubsub.endpoint.get-endpoint-queue-non-gd-depth",
	},
})

func inMemory(topic string) wsxtest.Option {
	return wsxtest.WithTopic(wsxtest.Topic{Name: topic})
}

// channel returns an option that adds a patched channel.
func channel(path string) wsxtest.Option {
	return wsxtest.WithChannel(wsxtest.Channel{Path: path, Username: "user1", Secret: "secret1"})
}

// publish1200 publishes 1,200 messages, as a service did.
func publish1200(srv *wsxtest.Server) {
	for i := range 1200 {
		// The topic exists and the data is a text, so this cannot fail.
		_, _ = srv.Publish("/my/gd.big", fmt.Sprintf("%05d", i), wsxtest.PublishOptions{ExtClientID: "batch.publish.loop"})
	}
}

// publishingService is a server with the service my.exp.publish, which publishes its
// request.
func publishingService(topic wsxtest.Option) recordedServer {
	var srv *wsxtest.Server
	service := func(_ context.Context, inv wsxtest.Invocation) (any, error) {
		var request struct {
			Topic string          `json:"topic"`
			Data  json.RawMessage `json:"data"`
			Kind  string          `json:"kind"`
		}
		if err := json.Unmarshal(inv.Request, &request); err != nil {
			return nil, err
		}
		if request.Kind == "" {
			id, err := srv.Publish(request.Topic, request.Data, wsxtest.PublishOptions{})
			return map[string]string{"out": id}, err
		}
		var list []struct {
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(request.Data, &list); err != nil {
			return nil, err
		}
		ids := make([]string, len(list))
		for i, m := range list {
			var err error
			if ids[i], err = srv.Publish(request.Topic, m.Data, wsxtest.PublishOptions{}); err != nil {
				return nil, err
			}
		}
		return map[string][]string{"out": ids}, nil
	}
	return recordedServer{
		options: []wsxtest.Option{
			topic, wsxtest.WithService("my.exp.publish", service), func(s *wsxtest.Server) { srv = s },
		},
		// The order of messages in memory that are published at once differs.
		reordered: map[float64][]int{6.655: {1, 0}},
	}
}
