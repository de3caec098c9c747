package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/zato-connect/zato-connect/wsx"
)

func pingCommand() *ucli.Command {
	return zatoCommand(ucli.Command{
		Name:  "ping",
		Usage: "Log in and measure the way there and back",
		Flags: []ucli.Flag{
			&ucli.IntFlag{Name: "count", Aliases: []string{"n"}, Value: 4, Usage: "how many pings"},
			&ucli.DurationFlag{Name: "interval", Value: time.Second, Usage: "the time between them"},
		},
	}, func(ctx context.Context, c *ucli.Context, client *wsx.Client) error {
		if c.NArg() > 0 || c.Int("count") < 1 {
			return argumentsError(c)
		}
		times, err := pings(ctx, c, client)
		if err != nil {
			return err
		}
		var total time.Duration
		for _, took := range times {
			total += took
		}
		_, err = fmt.Fprintf(c.App.Writer, "shortest %s, mean %s, longest %s\n", inMilliseconds(slices.Min(times)),
			inMilliseconds(total/time.Duration(len(times))), inMilliseconds(slices.Max(times)))
		return err
	})
}

// pings measures as often as the flags say and prints each time.
func pings(ctx context.Context, c *ucli.Context, client *wsx.Client) ([]time.Duration, error) {
	var times []time.Duration
	for {
		took, err := client.Ping(ctx)
		if err != nil {
			return nil, err
		}
		times = append(times, took)
		if _, err := fmt.Fprintf(c.App.Writer, "%d: %s\n", len(times), inMilliseconds(took)); err != nil {
			return nil, err
		}
		if len(times) == c.Int("count") {
			return times, nil
		}
		select {
		case <-time.After(c.Duration("interval")):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
