package wsx_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
	"github.com/zato-connect/zato-connect/wsxtest"
)

// startServer starts a simulator that stands for your Zato server.
func startServer() *wsxtest.Server {
	s := wsxtest.NewServer(wsxtest.WithTranscriptServer())
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}
	return s
}

// config returns the configuration of a client of the server.
func config(s *wsxtest.Server) wsx.Config {
	return wsx.Config{Address: s.URL("/my.wsx.cid"), Username: "user1", Secret: "secret1", ClientID: "example"}
}

func ExampleClient_Invoke() {
	zato := startServer()
	defer zato.Close()
	c, err := wsx.New(config(zato))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it always succeeds

	answer, err := c.Invoke(context.Background(), "my.echo", []int{1, 2})
	if err != nil {
		log.Fatal(err)
	}
	var got []int
	if err := json.Unmarshal(answer, &got); err != nil {
		log.Fatal(err)
	}
	fmt.Println(got)
	// Output: [1 2]
}

func ExampleClient_Fetch() {
	zato := wsxtest.NewServer(wsxtest.WithAutoCreatedTopics(), wsxtest.WithChannel(wsxtest.Channel{
		Path: "/my.wsx.connect", Username: "user1", Secret: "secret1", Gateway: wsxtest.Connect,
	}))
	if err := zato.Start(); err != nil {
		log.Fatal(err)
	}
	defer zato.Close()
	c, err := wsx.New(wsx.Config{
		Address: zato.URL("/my.wsx.connect"), Username: "user1", Secret: "secret1", Gateway: wsx.GatewayConnect,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it always succeeds

	ctx := context.Background()
	queue, err := c.SubscribeNamed(ctx, wsx.NamedSubscription{Topic: "/my/topic", Name: "archive"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.Publish(ctx, wsx.Publication{Topic: "/my/topic", Data: "hello"}); err != nil {
		log.Fatal(err)
	}
	fetched, err := c.Fetch(ctx, queue, wsx.FetchRequest{Max: 10, Wait: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	var ids []string
	for _, m := range fetched.Messages {
		fmt.Println(string(m.Data))
		ids = append(ids, m.MsgID)
	}
	// The messages are deleted only now.
	done, err := c.Fetch(ctx, queue, wsx.FetchRequest{Confirmed: ids})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done.Confirmed)
	// Output:
	// hello
	// 1
}

func ExampleClient_Receive() {
	zato := startServer()
	defer zato.Close()
	c, err := wsx.New(config(zato))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it always succeeds

	ctx := context.Background()
	if _, err := c.Subscribe(ctx, wsx.Subscription{Topic: "/my/topic"}); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Publish(ctx, wsx.Publication{Topic: "/my/topic", Data: "hello", Priority: 7}); err != nil {
		log.Fatal(err)
	}
	frame, err := c.Receive(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range frame.Messages {
		fmt.Println(m.Topic, m.Priority, string(m.Data))
	}
	// Output: /my/topic 7 hello
}

func ExampleSendStatusOf() {
	c, err := wsx.New(wsx.Config{Address: "ws://127.0.0.1:1/nobody"})
	if err != nil {
		log.Fatal(err)
	}
	_ = c.Close()
	_, err = c.Invoke(context.Background(), "my.echo", 1)
	fmt.Println(wsx.SendStatusOf(err))
	// Output: not sent
}

func ExampleServerRequestHandler() {
	zato := startServer()
	defer zato.Close()
	cfg := config(zato)
	cfg.OnRequest = func(_ context.Context, r *wsx.ServerRequest) (any, error) {
		return "you asked for " + string(r.Data), nil
	}
	c, err := wsx.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it always succeeds
	if err := c.AwaitReady(context.Background()); err != nil {
		log.Fatal(err)
	}
	answer, err := zato.Request(context.Background(), "example", 42, wsx.DefaultTimeout)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(answer))
	// Output: "you asked for 42"
}

func ExampleClient_SubscribeOrResume() {
	zato := startServer()
	defer zato.Close()
	subscribe := func(key wsx.SubKey) wsx.SubKey {
		c, err := wsx.New(config(zato))
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // it always succeeds
		topic := wsx.Subscription{Topic: "/my/topic", Key: key, Durable: true}
		if key, err = c.SubscribeOrResume(context.Background(), topic); err != nil {
			log.Fatal(err)
		}
		return key
	}
	first := subscribe("")
	again := subscribe(first) // by another client
	fmt.Println(first == again, first)
	// Output: true ***
}

func ExampleServerError() {
	zato := startServer()
	defer zato.Close()
	c, err := wsx.New(config(zato))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it always succeeds

	_, err = c.Publish(context.Background(), wsx.Publication{Topic: "/no/such/topic", Data: "hello"})
	var refused *wsx.ServerError
	if errors.As(err, &refused) {
		fmt.Println(refused.Status, refused.CID != "")
	}
	// Output: 403 true
}
