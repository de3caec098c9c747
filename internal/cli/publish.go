package cli

import (
	"context"
	"fmt"
	"sync"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/zato-connect/zato-connect/connection"
	"github.com/zato-connect/zato-connect/wsx"
)

func publishCommand() *ucli.Command {
	return zatoCommand(ucli.Command{
		Name:      "publish",
		Usage:     "Publish messages to a topic and print their ids",
		ArgsUsage: "TOPIC DATA|-",
		Description: `
DATA is published unchanged. If it is -, each non-empty line of standard input is a
message. The command stops at the first error and names the line. If the answer to a
message was lost, the message may have been published. If Zato drops messages because the
topic has no subscriber, the command warns once, and prints an empty line instead of an id.
With the companion services, the command waits until a full topic has room.`[1:],
		Flags: []ucli.Flag{
			&ucli.IntFlag{
				Name: "priority", Usage: "from 1 to 9; higher priorities are delivered first", DefaultText: "Zato's, 5",
			},
			&ucli.Int64Flag{Name: "expiration", Usage: "seconds after which the message expires", DefaultText: "the topic's"},
			&ucli.StringFlag{Name: "correl-id", Usage: "correlation id"},
			&ucli.StringFlag{Name: "in-reply-to", Usage: "id of the message that is answered"},
			&ucli.BoolFlag{
				Name: "has-gd", Usage: "guaranteed delivery; --has-gd=false turns it off", DefaultText: "the topic's",
			},
		},
	}, func(ctx context.Context, c *ucli.Context, client *wsx.Client) error {
		if c.NArg() != 2 {
			return usageError(c)
		}
		p := wsx.Publication{
			Topic: c.Args().First(), Priority: c.Int("priority"), Expiration: c.Int64("expiration"),
			CorrelID: c.String("correl-id"), InReplyTo: c.String("in-reply-to"),
		}
		if c.IsSet("has-gd") {
			guaranteed := c.Bool("has-gd")
			p.HasGD = &guaranteed
		}
		_, _ = client.Describe(ctx) // Publish uses what it finds out, and says why if it fails
		var warn sync.Once
		return forEachLine(ctx, c, c.Args().Get(1), func(line []byte) error {
			p.Data = string(line)
			var id string
			err := connection.Repeat(ctx, time.Now().Add(c.Duration(flagTimeout)), wsx.IsTopicFull, func() (err error) {
				id, err = client.Publish(ctx, p)
				return err
			})
			if err != nil {
				return err
			}
			if id == "" {
				warn.Do(func() { warnDropped(c, p.Topic) })
			}
			_, err = fmt.Fprintln(c.App.Writer, id)
			return err
		})
	})
}

// warnDropped says that Zato drops the messages of a topic.
func warnDropped(c *ucli.Context, topic string) {
	_, _ = fmt.Fprintf(c.App.ErrWriter, "warning: Zato drops the messages of topic %q, because it has no subscriber\n",
		topic) // if the terminal is closed, nobody misses this
}
