package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/zato-connect/zato-connect/wsx"
)

// Flags of the commands for named subscriptions.
const (
	flagName   = "name"
	flagShared = "shared"
	flagTopic  = "topic"
)

// namedSubscriptions is what these commands need of the gateway.
const namedSubscriptions = "named subscriptions"

func subscriptionsCommand() *ucli.Command {
	return zatoCommand(ucli.Command{
		Name:  "subscriptions",
		Usage: "List the named subscriptions of the user, and how many messages wait in each",
		Description: `
Only the subscriptions that are fetched have names, and a user sees only those of the
channel's own pub/sub endpoint. Waiting messages are in the queue. Unconfirmed messages
were fetched, and come again if their consumer does not confirm them. IDLE is the time
since the last fetch.`[1:],
		Flags: []ucli.Flag{
			&ucli.StringFlag{Name: flagTopic, Usage: "only the subscriptions of this `TOPIC`"},
			&ucli.StringFlag{Name: flagName, Usage: "only the subscriptions with this `NAME`"},
			&ucli.BoolFlag{Name: "json", Usage: "print each subscription as one line of JSON"},
		},
	}, func(ctx context.Context, c *ucli.Context, client *wsx.Client) error {
		if c.NArg() > 0 {
			return usageError(c)
		}
		if err := requireAbility(ctx, client, wsx.AbilitySubscriptions, namedSubscriptions); err != nil {
			return err
		}
		all, err := client.NamedSubscriptions(ctx, c.String(flagTopic), c.String(flagName))
		switch {
		case err != nil:
			return err
		case c.Bool("json"):
			return printSubscriptionsAsJSON(c, all)
		}
		return printSubscriptions(c, all)
	})
}

// subscriptionLine is the JSON form of a named subscription. The names are those of Zato and of the companion services.
type subscriptionLine struct {
	Topic       string        `json:"topic"`
	Name        string        `json:"name"`
	Shared      bool          `json:"shared"`
	Waiting     int           `json:"waiting"`
	Unconfirmed int           `json:"unconfirmed"`
	Consumer    *wsx.Consumer `json:"consumer"`
	// Idle is in seconds. It is null if nobody has fetched.
	Idle *float64 `json:"idle"`
}

func printSubscriptionsAsJSON(c *ucli.Context, all []wsx.NamedSubscriptionInfo) error {
	encoder := json.NewEncoder(c.App.Writer)
	encoder.SetEscapeHTML(false)
	for _, s := range all {
		line := subscriptionLine{
			Topic: s.Topic, Name: s.Name, Shared: s.Shared, Waiting: s.Waiting, Unconfirmed: s.Unconfirmed, Consumer: s.Consumer,
		}
		if s.Idle >= 0 {
			seconds := s.Idle.Seconds()
			line.Idle = &seconds
		}
		if err := encoder.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

func printSubscriptions(c *ucli.Context, all []wsx.NamedSubscriptionInfo) error {
	table := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(table, "TOPIC\tNAME\tSHARED\tWAITING\tUNCONFIRMED\tIDLE\tCONSUMER"); err != nil {
		return err
	}
	for _, s := range all {
		shared, idle, consumer := "no", "", ""
		if s.Shared {
			shared = "yes"
		}
		if s.Idle >= 0 {
			idle = s.Idle.Round(time.Second).String()
		}
		if s.Consumer != nil {
			consumer = s.Consumer.ClientID + " (" + s.Consumer.ClientName + ")"
		}
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n",
			s.Topic, s.Name, shared, s.Waiting, s.Unconfirmed, idle, consumer); err != nil {
			return err
		}
	}
	return table.Flush()
}

func unsubscribeCommand() *ucli.Command {
	return zatoCommand(ucli.Command{
		Name:      "unsubscribe",
		Usage:     "Delete a named subscription with its queue, and print how many messages were dropped",
		ArgsUsage: "TOPIC",
		Description: `
The messages that no consumer has confirmed are dropped, even if a consumer has them at
the moment.`[1:],
		Flags: []ucli.Flag{
			&ucli.StringFlag{Name: flagName, Usage: "the `NAME` of the subscription", Required: true},
		},
	}, func(ctx context.Context, c *ucli.Context, client *wsx.Client) error {
		if c.NArg() != 1 {
			return usageError(c)
		}
		if err := requireAbility(ctx, client, wsx.AbilitySubscriptions, namedSubscriptions); err != nil {
			return err
		}
		dropped, err := client.UnsubscribeNamed(ctx, c.Args().First(), c.String(flagName))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.App.Writer, "messages dropped: %d\n", dropped)
		return err
	})
}
