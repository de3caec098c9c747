// Package cli implements the commands that zato-connect adds to those of Redpanda Connect.
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
Reads the files as the engine does, opens each distinct Zato connection, and reports every
step: DNS, TCP, TLS, WebSocket upgrade, login, ping, whether the gateway supports durable
subscriptions, and the rights to the topics in the files. For each step that fails, it
says what to do.

The check publishes nothing: to test the right to publish, it sends a message with a
priority that Zato rejects. Zato logs that as a warning, which needs no action. The right
to subscribe can only be tested by subscribing, and the first subscriber of a topic
receives the messages that were published before. So that test needs --subscribe.

If a file contains simulators, they are started: the quick start needs no server.

  zato-connect check ./pipeline.yaml
  zato-connect check --json ./*.yaml

The exit status is 0 if nothing failed, and 1 otherwise.`

// Check returns the command that tests the connections of configurations.
func Check(schema func() *service.ConfigSchema) *ucli.Command {
	return &ucli.Command{
		Name:        "check",
		Usage:       "Test the Zato connections of configurations and say how to fix what fails",
		ArgsUsage:   "FILE...",
		Description: checkDescription[1:],
		Flags: []ucli.Flag{
			&ucli.BoolFlag{Name: "json", Usage: "print the report as JSON"},
			&ucli.BoolFlag{Name: "subscribe", Usage: "also subscribe to the topics, and unsubscribe at once; " +
				"messages received in between are lost"},
		},
		Action: func(c *ucli.Context) error { return runCheck(c, schema()) },
	}
}

func runCheck(c *ucli.Context, schema *service.ConfigSchema) error {
	if c.NArg() == 0 {
		return fmt.Errorf("no files to check: usage: %s %s", c.Command.HelpName, c.Command.ArgsUsage)
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
		err = ucli.Exit("", 1) // the report has the reason
	}
	return err
}

// interruptible returns a context that ends at the first SIGINT or SIGTERM. The second one
// ends the process.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// statusInterrupted is the exit status after Ctrl-C, as in a shell.
const statusInterrupted = 130

// exitIfInterrupted replaces the error of a command that was interrupted by its exit status,
// and returns every other error unchanged.
func exitIfInterrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return ucli.Exit("", statusInterrupted)
	}
	return err
}
