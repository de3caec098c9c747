package cli

import (
	"context"
	"fmt"

	ucli "github.com/urfave/cli/v2"

	"github.com/zato-connect/zato-connect/wsx"
)

func publishCommand() *ucli.Command {
	return zatoCommand(ucli.Command{
		Name:      "publish",
		Usage:     "Publish messages to a topic and print their ids",
		ArgsUsage: "TOPIC DATA|-",
		Description: `
DATA is published as it is; - publishes each line of standard input that is not empty.
The first failure ends the command and names the line. A message whose answer was lost
may have been published.`[1:],
		Flags: []ucli.Flag{
			&ucli.IntFlag{Name: "priority", Usage: "1 to 9, the highest first", DefaultText: "Zato's, 5"},
			&ucli.Int64Flag{Name: "expiration", Usage: "in seconds", DefaultText: "the topic's"},
			&ucli.StringFlag{Name: "correl-id", Usage: "the correlation id"},
			&ucli.StringFlag{Name: "in-reply-to", Usage: "the id of the message that these answer"},
			&ucli.BoolFlag{Name: "has-gd", Usage: "whether delivery is guaranteed", DefaultText: "as the topic's is"},
		},
	}, func(ctx context.Context, c *ucli.Context, client *wsx.Client) error {
		if c.NArg() != 2 {
			return argumentsError(c)
		}
		p := wsx.Publication{
			Topic: c.Args().First(), Priority: c.Int("priority"), Expiration: c.Int64("expiration"),
			CorrelID: c.String("correl-id"), InReplyTo: c.String("in-reply-to"),
		}
		if c.IsSet("has-gd") {
			guaranteed := c.Bool("has-gd")
			p.HasGD = &guaranteed
		}
		return forEachLine(ctx, c, c.Args().Get(1), func(line []byte) error {
			p.Data = string(line)
			id, err := client.Publish(ctx, p)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.App.Writer, id)
			return err
		})
	})
}
