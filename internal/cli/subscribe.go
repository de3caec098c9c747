package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	ucli "github.com/urfave/cli/v2"

	"github.com/zato-connect/zato-connect/internal/recent"
	"github.com/zato-connect/zato-connect/wsx"
)

func subscribeCommand() *ucli.Command {
	return zatoCommand(ucli.Command{
		Name:      "subscribe",
		Usage:     "Print the messages of topics as they arrive",
		ArgsUsage: "TOPIC...",
		Description: `
Each message is printed as one line of JSON: topic, msg_id, priority, pub_time, data and
all its other fields, except the key of the subscription, which is secret. With --data,
only its data is printed, unchanged.

The subscriptions end with the command. With --count, messages that arrive in the same
frame as the last one are lost. The first subscriber of a topic receives the messages that
were published before, and no other subscriber gets them.

With --name, the messages are fetched from the subscription of that name, which is made
if there is none. It stays at the server, and its queue with it, until it is deleted with
unsubscribe. Each message is confirmed after it was printed, so none is lost.`[1:],
		Flags: []ucli.Flag{
			&ucli.IntFlag{
				Name: flagCount, Aliases: []string{"n"}, Usage: "stop after this number of messages", DefaultText: "stop at Ctrl-C",
			},
			&ucli.StringFlag{Name: flagName, Usage: "receive from the subscription of this `NAME`"},
			&ucli.BoolFlag{
				Name: flagShared, Usage: "with --name: share the messages with other consumers, instead of taking over from them",
			},
			&ucli.BoolFlag{Name: "data", Usage: "print only the data of each message"},
		},
	}, func(ctx context.Context, c *ucli.Context, client *wsx.Client) error {
		if c.NArg() == 0 {
			return usageError(c)
		}
		if err := requirePositive(c, flagCount); err != nil {
			return err
		}
		p := &printer{
			to: c.App.Writer, limit: c.Int(flagCount), dataOnly: c.Bool("data"), seen: recent.New(recent.DefaultLimit),
		}
		if c.IsSet(flagName) {
			return p.receiveNamed(ctx, c, client)
		}
		if c.Bool(flagShared) {
			return fmt.Errorf("--%s needs --%s", flagShared, flagName)
		}
		for _, topic := range c.Args().Slice() {
			if _, err := client.Subscribe(ctx, wsx.Subscription{Topic: topic}); err != nil {
				return err
			}
		}
		return p.receive(ctx, client)
	})
}

// printer prints messages. It stops at limit, unless that is zero.
type printer struct {
	to       io.Writer
	limit    int
	dataOnly bool
	printed  int
	seen     *recent.IDs
}

// receive prints messages until ctx ends, which is not an error. It then closes the client,
// and prints the messages that the client has already read, because Zato does not send them
// again.
func (p *printer) receive(ctx context.Context, client *wsx.Client) error {
	untilClosed := context.WithoutCancel(ctx)
	defer context.AfterFunc(ctx, func() { _ = client.Close() })() // it always succeeds
	for p.limit == 0 || p.printed < p.limit {
		frame, err := client.Receive(untilClosed)
		if errors.Is(err, wsx.ErrClosed) {
			return nil
		}
		if err == nil {
			err = p.print(frame)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *printer) print(frame wsx.Frame) error {
	encoder := json.NewEncoder(p.to)
	encoder.SetEscapeHTML(false)
	for i := range frame.Messages {
		if p.limit > 0 && p.printed == p.limit {
			return nil
		}
		m := &frame.Messages[i]
		if !p.seen.Add(m.MsgID) {
			continue
		}
		var err error
		if p.dataOnly {
			_, err = fmt.Fprintf(p.to, "%s\n", m.Data)
		} else {
			err = encoder.Encode(newMessage(m))
		}
		if err != nil {
			return err
		}
		p.printed++
	}
	return nil
}

// message is the JSON form of a message. The names are those of Zato. Keys of subscriptions
// are secret, so they are left out.
type message struct {
	Topic          string `json:"topic"`
	MsgID          string `json:"msg_id"`
	CorrelID       string `json:"correl_id,omitempty"`
	InReplyTo      string `json:"in_reply_to,omitempty"`
	ExtClientID    string `json:"ext_client_id,omitempty"`
	GroupID        string `json:"group_id,omitempty"`
	Priority       int    `json:"priority,omitempty"`
	Expiration     int64  `json:"expiration,omitempty"`
	ExpirationTime string `json:"expiration_time,omitempty"`
	Expired        bool   `json:"expired,omitempty"`
	PubTime        string `json:"pub_time,omitempty"`
	ExtPubTime     string `json:"ext_pub_time,omitempty"`
	RecvTime       string `json:"recv_time,omitempty"`
	DeliveryCount  int    `json:"delivery_count,omitempty"`
	Size           int64  `json:"size,omitempty"`
	MimeType       string `json:"mime_type,omitempty"`
	Data           any    `json:"data"`
}

func newMessage(m *wsx.Message) message {
	out := message{
		Topic: m.Topic, MsgID: m.MsgID, CorrelID: m.CorrelID, InReplyTo: m.InReplyTo,
		ExtClientID: m.ExtClientID, GroupID: m.GroupID, Priority: m.Priority,
		Expiration: m.Expiration, ExpirationTime: m.ExpirationTime, Expired: m.Expired(),
		PubTime: m.PubTime, ExtPubTime: m.ExtPubTime, RecvTime: m.RecvTime,
		DeliveryCount: m.DeliveryCount, Size: m.Size, MimeType: m.MimeType, Data: string(m.Data),
	}
	if json.Valid(m.Data) {
		out.Data = json.RawMessage(m.Data) // numbers keep their digits
	}
	return out
}
