package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	ucli "github.com/urfave/cli/v2"

	"github.com/zato-connect/zato-connect/config"
	"github.com/zato-connect/zato-connect/wsx"
)

// Names of the connection flags, which all subcommands of zato have.
const (
	flagAddress    = "address"
	flagUsername   = "username"
	flagSecret     = "secret"
	flagSecretFile = "secret-file"
	flagClientID   = "client-id"
	flagRootCA     = "root-ca"
	flagTimeout    = "timeout"
)

// flagCount is the flag with which ping and subscribe end.
const flagCount = "count"

// envAddress is the environment variable of flagAddress.
const envAddress = "ZATO_WSX_ADDRESS"

// Zato returns the command whose subcommands are a client for people and scripts.
func Zato() *ucli.Command {
	return &ucli.Command{
		Name:  "zato",
		Usage: "Invoke services, publish, subscribe and ping over a WebSocket channel",
		Description: `
A client of one WebSocket channel, for people and scripts. If an argument is -, the
command reads lines from standard input. It prints one line for each result.

  export ZATO_WSX_ADDRESS=ws://localhost:48902/my.wsx ZATO_WSX_USERNAME=user1 ZATO_WSX_SECRET=...
  zato-connect zato ping
  zato-connect zato invoke customer.get '{"id": 123}'
  zato-connect zato publish --priority 9 /orders/new '{"id": 1}'
  zato-connect zato publish --msg-id order-1 /orders/new '{"id": 1}'
  zato-connect zato publish /orders/new - < orders.jsonl
  zato-connect zato subscribe --count 10 /orders/new
  zato-connect zato subscribe --name archive /orders/new
  zato-connect zato subscriptions

Options must come before arguments. The exit status is 1 if a command failed, and 130 if
Ctrl-C interrupted it. For subscribe, Ctrl-C is the normal end.`[1:],
		Subcommands: []*ucli.Command{
			invokeCommand(), publishCommand(), subscribeCommand(), subscriptionsCommand(), unsubscribeCommand(), pingCommand(),
			servicesCommand(), enmasseCommand(),
		},
	}
}

// action runs a command with a client. It returns when ctx ends.
type action func(ctx context.Context, c *ucli.Context, client *wsx.Client) error

// zatoCommand adds the connection flags and a client to a command.
func zatoCommand(c ucli.Command, do action) *ucli.Command {
	c.Flags = append(c.Flags, connectionFlags()...)
	c.Action = func(c *ucli.Context) error {
		ctx, stop := interruptible(c.Context)
		defer stop()
		if err := requireText(c); err != nil {
			return err
		}
		client, err := newClient(c)
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
			Name: flagAddress, Aliases: []string{"a"}, EnvVars: []string{envAddress},
			Usage: "`URL` of the channel: ws://host:port/path or wss://host:port/path",
		},
		&ucli.StringFlag{
			Name: flagUsername, Aliases: []string{"u"}, EnvVars: []string{"ZATO_WSX_USERNAME"},
			Usage: "`NAME` of the user in the channel's security definition",
		},
		&ucli.StringFlag{
			Name: flagSecret, EnvVars: []string{"ZATO_WSX_SECRET"},
			Usage: "password or token of the user; other users of this machine can see command lines, so set the variable",
		},
		&ucli.PathFlag{
			Name: flagSecretFile, EnvVars: []string{"ZATO_WSX_SECRET_FILE"},
			Usage: "`FILE` with the password or token of the user; it is read again for each login",
		},
		&ucli.StringFlag{Name: flagClientID, Usage: "`ID` of this client in Zato", DefaultText: "generated"},
		&ucli.PathFlag{Name: flagRootCA, Usage: "PEM `FILE` with the certificate of the authority that signed the server's"},
		&ucli.DurationFlag{
			Name: flagTimeout, Value: wsx.DefaultCallTimeout,
			Usage: "how long to wait for the connection and the answer",
		},
	}
}

// newClient makes a client from the flags. The client connects when it is first used.
func newClient(c *ucli.Context) (*wsx.Client, error) {
	if c.String(flagAddress) == "" {
		return nil, fmt.Errorf("no server address: set --%s or %s", flagAddress, envAddress)
	}
	if timeout := c.Duration(flagTimeout); timeout <= 0 {
		return nil, fmt.Errorf("--%s is %s: use a longer time, such as %s", flagTimeout, timeout, wsx.DefaultCallTimeout)
	}
	var client *wsx.Client
	log := logHandler(c)
	cfg := wsx.Config{
		Address: c.String(flagAddress), Username: c.String(flagUsername),
		ClientID: c.String(flagClientID), ClientName: "zato-connect zato", CallTimeout: c.Duration(flagTimeout),
		Logger:           slog.New(log),
		ConnectionLogger: slog.New(rejectionFilter{log, func() bool { return len(client.Subscriptions()) > 0 }}),
	}
	if err := setSecret(c, &cfg); err != nil {
		return nil, err
	}
	if path := c.Path(flagRootCA); path != "" {
		authority, err := os.ReadFile(path) //nolint:gosec // the user chose it
		if err != nil {
			return nil, fmt.Errorf("reading --%s: %w", flagRootCA, err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(authority) {
			return nil, fmt.Errorf("reading --%s %s: no certificate found: use a file in PEM format", flagRootCA, path)
		}
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	}
	var err error
	client, err = wsx.New(cfg)
	return client, err
}

// logHandler returns a handler for warnings and errors.
func logHandler(c *ucli.Context) slog.Handler {
	return slog.NewTextHandler(c.App.ErrWriter, &slog.HandlerOptions{Level: slog.LevelWarn})
}

// setSecret sets the secret, or the function that reads it from its file.
func setSecret(c *ucli.Context, cfg *wsx.Config) error {
	cfg.Secret = wsx.Secret(c.String(flagSecret))
	path := c.Path(flagSecretFile)
	switch {
	case path == "":
		return nil
	case cfg.Secret != "":
		return fmt.Errorf("both --%s and --%s are set, or their variables: set only one of them", flagSecret, flagSecretFile)
	}
	files := service.NewFS(service.OSFS())
	cfg.SecretFunc = func(context.Context) (wsx.Secret, error) {
		secret, err := config.SecretFromFile(files, path)
		if err != nil {
			return "", fmt.Errorf("reading --%s: %w", flagSecretFile, err)
		}
		return secret, nil
	}
	_, err := cfg.SecretFunc(c.Context)
	return err
}

// rejectionFilter drops rejections of the connection, which are the only errors that a client
// logs, unless the client is receiving. Otherwise a call fails with the rejection, and the command
// prints it.
type rejectionFilter struct {
	slog.Handler

	receiving func() bool
}

// Enabled reports whether a record is logged.
func (f rejectionFilter) Enabled(ctx context.Context, level slog.Level) bool {
	return f.Handler.Enabled(ctx, level) && (level < slog.LevelError || f.receiving())
}

// usageError is the error of a command with the wrong number of arguments.
func usageError(c *ucli.Context) error {
	usage := strings.TrimSpace(c.Command.HelpName + " [options] " + c.Command.ArgsUsage)
	return fmt.Errorf("wrong number of arguments: usage: %s", usage)
}

// inMilliseconds formats a duration.
func inMilliseconds(d time.Duration) string {
	return fmt.Sprintf("%.3f ms", float64(d.Nanoseconds())/1e6)
}
