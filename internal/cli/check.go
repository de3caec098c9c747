// Package cli has the commands that zato-connect adds to those of Connect.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/redpanda-data/benthos/v4/public/service"
	ucli "github.com/urfave/cli/v2"

	"github.com/zato-connect/zato-connect/internal/check"
)

const checkDescription = `
Opens each distinct connection of the files, as the engine reads them, and shows step
by step what came of it: name, TCP, TLS, upgrade, login, ping, what the gateway can do,
and the rights to the topics that the files name. What failed says what to do.

Nothing is left behind. The right to publish is asked for without publishing: with a
priority that Zato refuses. The right to subscribe is known only by subscribing, and a
first subscriber takes what was published before there was any, so that is done only
with --subscribe.

Simulators of the files are started, so the quick start can be checked with no server.

  zato-connect check ./pipeline.yaml
  zato-connect check --json ./*.yaml

The exit status is 0 where nothing failed, else 1.`

// Check is the command that tries the connections of configurations.
func Check(schema func() *service.ConfigSchema) *ucli.Command {
	return &ucli.Command{
		Name:        "check",
		Usage:       "Try the Zato connections of configurations, and say what to do about what fails",
		ArgsUsage:   "FILE...",
		Description: checkDescription[1:],
		Flags: []ucli.Flag{
			&ucli.BoolFlag{Name: "json", Usage: "print JSON"},
			&ucli.BoolFlag{Name: "subscribe", Usage: "subscribe to the topics too, and unsubscribe at once; " +
				"what comes meanwhile is lost"},
		},
		Action: func(c *ucli.Context) error { return runCheck(c, schema()) },
	}
}

func runCheck(c *ucli.Context, schema *service.ConfigSchema) error {
	if c.NArg() == 0 {
		return fmt.Errorf("name the files to check: %s", c.Command.HelpName+" FILE...")
	}
	ctx, stop := interruptible(c.Context)
	defer stop()
	reports, err := check.Files(ctx, schema, c.Args().Slice(), check.Options{Subscribe: c.Bool("subscribe")})
	if err != nil {
		return exitIfInterrupted(ctx, err)
	}
	if c.Bool("json") {
		encoder := json.NewEncoder(c.App.Writer)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(struct {
			OK          bool               `json:"ok"`
			Connections []check.Connection `json:"connections"`
		}{check.Passed(reports), reports})
	} else {
		err = check.Print(c.App.Writer, reports)
	}
	if err == nil && !check.Passed(reports) {
		err = ucli.Exit("", 1) // the report says it all
	}
	return err
}

// interruptible is a context that ends when the user or the system asks for it. Who
// asks again is obeyed at once.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// interrupted is the exit status of a command that was interrupted, as of a shell's.
const interrupted = 130

// exitIfInterrupted is err, unless that is only how a command that was interrupted ends.
func exitIfInterrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return ucli.Exit("", interrupted)
	}
	return err
}
