package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	ucli "github.com/urfave/cli/v2"

	"github.com/zato-connect/zato-connect/wsx"
)

func subscribeCommand() *ucli.Command {
	return zatoCommand(ucli.Command{
		Name:      "subscribe",
		Usage:     "Print the messages of topics as they come",
		ArgsUsage: "TOPIC...",
		Description: `
Each message is a line of JSON: topic, msg_id, priority, pub_time, data and what else it
has; with --data only its content, as it is. The subscriptions end with the command, and
what came together with the last message of --count goes with them. A topic's first
subscriber gets what was published before there was any: it is then gone for others.`[1:],
		Flags: []ucli.Flag{
			&ucli.IntFlag{Name: "count", Aliases: []string{"n"}, Usage: "end after so many messages", DefaultText: "Ctrl-C"},
			&ucli.BoolFlag{Name: "data", Usage: "print the content alone"},
		},
	}, func(ctx context.Context, c *ucli.Context, client *wsx.Client) error {
		if c.NArg() == 0 {
			return argumentsError(c)
		}
		for _, topic := range c.Args().Slice() {
			if _, err := client.Subscribe(ctx, wsx.Subscription{Topic: topic}); err != nil {
				return err
			}
		}
		p := &printer{to: c.App.Writer, limit: c.Int("count"), dataOnly: c.Bool("data")}
		return p.receive(ctx, client)
	})
}

// printer prints messages, no more than limit where there is one.
type printer struct {
	to       io.Writer
	limit    int
	dataOnly bool
	printed  int
}

// receive prints messages until ctx ends, which is how the command is meant to end.
// What was read by then is printed too, for it does not come again.
func (p *printer) receive(ctx context.Context, client *wsx.Client) error {
	last := context.WithoutCancel(ctx)
	defer context.AfterFunc(ctx, func() { _ = client.Close() })() // it always succeeds
	for p.limit == 0 || p.printed < p.limit {
		frame, err := client.Receive(last)
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

// message is a message as it is printed, under the names of the wire.
type message struct {
	Topic         string `json:"topic"`
	MsgID         string `json:"msg_id"`
	CorrelID      string `json:"correl_id,omitempty"`
	InReplyTo     string `json:"in_reply_to,omitempty"`
	Priority      int    `json:"priority,omitempty"`
	PubTime       string `json:"pub_time,omitempty"`
	DeliveryCount int    `json:"delivery_count,omitempty"`
	Data          any    `json:"data"`
}

func newMessage(m *wsx.Message) message {
	out := message{
		Topic: m.Topic, MsgID: m.MsgID, CorrelID: m.CorrelID, InReplyTo: m.InReplyTo,
		Priority: m.Priority, PubTime: m.PubTime, DeliveryCount: m.DeliveryCount, Data: string(m.Data),
	}
	if json.Valid(m.Data) {
		out.Data = json.RawMessage(m.Data) // numbers keep their digits
	}
	return out
}
