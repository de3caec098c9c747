package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	ucli "github.com/urfave/cli/v2"

	"github.com/zato-connect/zato-connect/wsx"
)

func invokeCommand() *ucli.Command {
	return zatoCommand(ucli.Command{
		Name:      "invoke",
		Usage:     "Invoke a service and print its answer",
		ArgsUsage: "SERVICE [REQUEST|-]",
		Description: `
REQUEST is sent as JSON if it is valid JSON, and as a string otherwise. If it is -, each
line of standard input is a request; they are sent one after the other. SERVICE is '' if
the channel is mounted on a single service. Each answer is printed on one line.`[1:],
	}, func(ctx context.Context, c *ucli.Context, client *wsx.Client) error {
		if c.NArg() < 1 || c.NArg() > 2 {
			return usageError(c)
		}
		invoke := func(request any) error {
			answer, err := client.Invoke(ctx, c.Args().First(), request)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.App.Writer, oneLine(answer))
			return err
		}
		if c.NArg() == 1 {
			return invoke(nil)
		}
		return forEachLine(ctx, c, c.Args().Get(1), func(line []byte) error {
			if json.Valid(line) {
				return invoke(json.RawMessage(line))
			}
			return invoke(string(line))
		})
	})
}

// oneLine removes the line breaks and spaces from JSON.
func oneLine(text json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return string(text)
	}
	return b.String()
}
