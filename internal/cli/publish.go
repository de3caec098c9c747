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

// Flags of the command publish.
const (
	flagPriority   = "priority"
	flagExpiration = "expiration"
	flagMsgID      = "msg-id"
	flagHasGD      = "has-gd"
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
With the companion services, the command waits until a full topic has room.

With --msg-id, which needs the companion services and a message with guaranteed delivery,
it is safe to run the command again. If Zato knows the id from an earlier message of the
topic, it publishes nothing, and the command prints the id all the same. The command
itself sends the message again if the answer was lost.`[1:],
		Flags: []ucli.Flag{
			&ucli.IntFlag{
				Name: flagPriority, Usage: "from 1 to 9; higher priorities are delivered first", DefaultText: "Zato's, 5",
			},
			&ucli.IntFlag{Name: flagExpiration, Usage: "seconds after which the message expires", DefaultText: "the topic's"},
			&ucli.StringFlag{Name: "correl-id", Usage: "correlation id", DefaultText: "generated"},
			&ucli.StringFlag{Name: "in-reply-to", Usage: "id of the message that is answered", DefaultText: "none"},
			&ucli.StringFlag{
				Name: flagMsgID, Usage: "`ID` of the message, with which it is published only once", DefaultText: "generated",
			},
			&ucli.BoolFlag{
				Name: flagHasGD, Usage: "guaranteed delivery; with the companion services, --has-gd=false turns it off",
				DefaultText: "the topic's",
			},
		},
	}, func(ctx context.Context, c *ucli.Context, client *wsx.Client) error {
		if c.NArg() != 2 {
			return usageError(c)
		}
		p, err := publication(c)
		if err != nil {
			return err
		}
		var warn sync.Once
		return forEachLine(ctx, c, c.Args().Get(1), func(line []byte) error {
			p.Data = string(line)
			id, err := publish(ctx, client, p, c.Duration(flagTimeout))
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

// publication returns the publication that the arguments describe, without its data.
func publication(c *ucli.Context) (wsx.Publication, error) {
	p := wsx.Publication{
		Topic: c.Args().First(), Priority: c.Int(flagPriority), Expiration: int64(c.Int(flagExpiration)),
		CorrelID: c.String("correl-id"), InReplyTo: c.String("in-reply-to"), MsgID: c.String(flagMsgID),
	}
	if c.IsSet(flagHasGD) {
		guaranteed := c.Bool(flagHasGD)
		p.HasGD = &guaranteed
	}
	if c.IsSet(flagPriority) && (p.Priority < wsx.MinPriority || p.Priority > wsx.MaxPriority) {
		return p, fmt.Errorf("--%s is %d: use %d to %d", flagPriority, p.Priority, wsx.MinPriority, wsx.MaxPriority)
	}
	if p.MsgID != "" && c.Args().Get(1) == stdinArg {
		return p, fmt.Errorf("--%s is the id of one message: run the command once for each message, "+
			"or publish the lines with the zato_wsx output, whose msg_id differs for each", flagMsgID)
	}
	return p, requirePositive(c, flagExpiration)
}

// publish publishes a message and returns its id. It waits until a full topic has room.
func publish(ctx context.Context, client *wsx.Client, p wsx.Publication, timeout time.Duration) (id string, err error) {
	p.Deadline = time.Now().Add(timeout)
	mayRepeat := wsx.IsTopicFull
	if p.MsgID != "" {
		mayRepeat = func(err error) bool { return wsx.IsTopicFull(err) || repeatable(err) }
	}
	err = connection.Repeat(ctx, p.Deadline, mayRepeat, func() (err error) {
		if p.MsgID != "" {
			id, err = publishOnce(ctx, client, p)
			return err
		}
		_, _ = client.Describe(ctx) // Publish uses what it finds out about each connection, and says why if it fails
		id, err = client.Publish(ctx, p)
		return err
	})
	return id, err
}

// publishOnce publishes a message unless the server knows its id. Publish would send it to Zato's own service, which
// ignores the id, on a connection whose gateway is not described yet.
func publishOnce(ctx context.Context, client *wsx.Client, p wsx.Publication) (string, error) {
	if err := requireAbility(ctx, client, wsx.AbilityPublishKnown, "--"+flagMsgID); err != nil {
		return "", err
	}
	list := wsx.PublicationList{Topic: p.Topic, Messages: []wsx.Publication{p}, Deadline: p.Deadline}
	results, err := client.PublishList(ctx, list)
	switch {
	case err != nil:
		return "", err
	case results[0].Status == wsx.Dropped:
		return "", nil
	}
	return results[0].MsgID, results[0].Err
}

// warnDropped says that Zato drops the messages of a topic.
func warnDropped(c *ucli.Context, topic string) {
	_, _ = fmt.Fprintf(c.App.ErrWriter, "warning: Zato drops the messages of topic %q, because it has no subscriber\n",
		topic) // if the terminal is closed, nobody misses this
}
