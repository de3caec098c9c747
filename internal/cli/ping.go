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
		Usage: "Log in and measure round-trip times",
		Flags: []ucli.Flag{
			&ucli.IntFlag{Name: flagCount, Aliases: []string{"n"}, Value: 4, Usage: "number of pings"},
			&ucli.DurationFlag{Name: "interval", Value: time.Second, Usage: "time between two pings"},
		},
	}, func(ctx context.Context, c *ucli.Context, client *wsx.Client) error {
		if c.NArg() > 0 {
			return usageError(c)
		}
		if err := requirePositive(c, flagCount); err != nil {
			return err
		}
		times, err := measurePings(ctx, c, client)
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

// measurePings prints and returns the round-trip times.
func measurePings(ctx context.Context, c *ucli.Context, client *wsx.Client) ([]time.Duration, error) {
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
		if len(times) == c.Int(flagCount) {
			return times, nil
		}
		select {
		case <-time.After(c.Duration("interval")):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
