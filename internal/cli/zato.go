package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/zato-connect/zato-connect/wsx"
)

// Names of the flags that all commands of Zato have.
const (
	flagAddress  = "address"
	flagUsername = "username"
	flagSecret   = "secret"
	flagClientID = "client-id"
	flagRootCA   = "root-ca"
	flagTimeout  = "timeout"
)

// Zato is the command whose own commands are a client for people and scripts.
func Zato() *ucli.Command {
	return &ucli.Command{
		Name:  "zato",
		Usage: "Invoke services, publish, subscribe and ping over a WebSocket channel",
		Description: `
A client of one channel, for people and scripts. What goes through it are lines: of
standard input where the argument is -, and to standard output, where messages are JSON.

  export ZATO_WSX_ADDRESS=ws://localhost:48902/my.wsx ZATO_WSX_USERNAME=user1 ZATO_WSX_SECRET=...
  zato-connect zato ping
  zato-connect zato invoke customer.get '{"id": 123}'
  zato-connect zato publish --priority 9 /orders/new '{"id": 1}'
  zato-connect zato publish /orders/new - < orders.jsonl
  zato-connect zato subscribe --count 10 /orders/new

Options come before arguments. The exit status is 1 where something failed; Ctrl-C ends
a command.`[1:],
		Subcommands: []*ucli.Command{invokeCommand(), publishCommand(), subscribeCommand(), pingCommand()},
	}
}

// action is what a command does with a client, until ctx ends.
type action func(ctx context.Context, c *ucli.Context, client *wsx.Client) error

// zatoCommand completes a command with the flags of the connection.
func zatoCommand(c ucli.Command, do action) *ucli.Command {
	c.Flags = append(c.Flags, connectionFlags()...)
	c.Action = func(c *ucli.Context) error {
		ctx, stop := interruptible(c.Context)
		defer stop()
		client, err := connect(c)
		if err != nil {
			return err
		}
		defer client.Close() //nolint:errcheck // it always succeeds
		return exitIfInterrupted(ctx, do(ctx, c, client))
	}
	return &c
}

func connectionFlags() []ucli.Flag {
	return []ucli.Flag{
		&ucli.StringFlag{
			Name: flagAddress, Aliases: []string{"a"}, EnvVars: []string{"ZATO_WSX_ADDRESS"}, Required: true,
			Usage: "of the channel, ws://host:port/path or wss://host:port/path",
		},
		&ucli.StringFlag{
			Name: flagUsername, Aliases: []string{"u"}, EnvVars: []string{"ZATO_WSX_USERNAME"},
			Usage: "of the channel's security definition",
		},
		&ucli.StringFlag{
			Name: flagSecret, EnvVars: []string{"ZATO_WSX_SECRET"},
			Usage: "that goes with the username; others can see it on a command line, so the variable is better",
		},
		&ucli.StringFlag{Name: flagClientID, Usage: "by which Zato knows this client", DefaultText: "made up"},
		&ucli.PathFlag{Name: flagRootCA, Usage: "a file with the certificate of the authority that signed the server's"},
		&ucli.DurationFlag{
			Name: flagTimeout, Value: wsx.DefaultCallTimeout,
			Usage: "how long to wait for a connection and an answer",
		},
	}
}

// connect makes a client of the flags. It connects when it is first used.
func connect(c *ucli.Context) (*wsx.Client, error) {
	cfg := wsx.Config{
		Address: c.String(flagAddress), Username: c.String(flagUsername), Secret: wsx.Secret(c.String(flagSecret)),
		ClientID: c.String(flagClientID), ClientName: "zato-connect zato", CallTimeout: c.Duration(flagTimeout),
		Logger: slog.New(slog.NewTextHandler(c.App.ErrWriter, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if path := c.Path(flagRootCA); path != "" {
		authority, err := os.ReadFile(path) //nolint:gosec // the user names it
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(authority) {
			return nil, fmt.Errorf("%s: holds no certificate in PEM", path)
		}
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	}
	return wsx.New(cfg)
}

// argumentsError says how a command is to be called.
func argumentsError(c *ucli.Context) error {
	return fmt.Errorf("usage: %s [options] %s", c.Command.HelpName, c.Command.ArgsUsage)
}

// inMilliseconds is a duration for people.
func inMilliseconds(d time.Duration) string {
	return fmt.Sprintf("%.3f ms", float64(d.Nanoseconds())/1e6)
}
