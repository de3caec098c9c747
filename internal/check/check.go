package check

import (
	"context"
	"errors"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// Outcome is the outcome of one check.
type Outcome string

// The outcomes. Only Failed makes the command fail.
const (
	OK        Outcome = "ok"
	Warning   Outcome = "warning"
	Failed    Outcome = "failed"
	NotTested Outcome = "not tested"
	// Missing means that the gateway cannot do something. Detail says what that costs.
	Missing Outcome = "missing"
)

// Result is one line of a report.
type Result struct {
	// Check is the name of the check: dns, tcp, tls, upgrade, login, ping, gateway, ability,
	// database, log level, subscription, subscribe or publish.
	Check   string  `json:"check"`
	Topic   string  `json:"topic,omitempty"`
	Outcome Outcome `json:"outcome"`
	// Detail says what was found. Remedy says what to do about it.
	Detail string `json:"detail,omitempty"`
	Remedy string `json:"remedy,omitempty"`
	// Took is in milliseconds.
	Took float64 `json:"took_ms,omitempty"`
}

// Connection is the report on one connection.
type Connection struct {
	Address    string      `json:"address"`
	Username   string      `json:"username,omitempty"`
	Components []Component `json:"components"`
	Results    []Result    `json:"results"`
}

// Options select what is tested.
type Options struct {
	// Subscribe tests subscribing to the topics, and unsubscribes at once. The test
	// subscription receives messages that wait at the server for a first subscriber, and
	// they are lost.
	Subscribe bool
}

// Files tests each distinct connection of the files, one after the other. It starts the
// simulators that the files contain. If a file cannot be read or is not a valid
// configuration, Files returns an error and tests nothing.
func Files(ctx context.Context, schema *service.ConfigSchema, files []string, opts Options) ([]Connection, error) {
	groups, err := parseFiles(schema, files)
	if err != nil {
		return nil, err
	}
	var out []Connection
	for _, g := range groups {
		reports, err := g.run(ctx, schema, opts)
		if err != nil {
			return nil, err
		}
		out = append(out, reports...)
	}
	return out, ctx.Err()
}

// Passed reports whether no check failed.
func Passed(reports []Connection) bool {
	for _, c := range reports {
		for _, r := range c.Results {
			if r.Outcome == Failed {
				return false
			}
		}
	}
	return true
}

// run tests the connections of a group while its simulators run.
func (g *group) run(ctx context.Context, schema *service.ConfigSchema, opts Options) (out []Connection, err error) {
	if len(g.simulators) > 0 {
		stop, err := simulate(ctx, schema, g.simulators)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	for _, c := range g.checks {
		out = append(out, Connection{
			Address: c.connection.Client.Address, Username: c.connection.Client.Username,
			Components: c.components, Results: c.run(ctx, opts),
		})
	}
	return out, nil
}

// run tests one connection.
func (c *connectionCheck) run(ctx context.Context, opts Options) []Result {
	client, results := open(ctx, c.clientConfig())
	if client == nil {
		return results
	}
	defer client.Close() //nolint:errcheck // it always succeeds
	took, err := client.Ping(ctx)
	ping := Result{Check: "ping", Outcome: OK, Took: milliseconds(took)}
	if err != nil {
		ping.fail(err, "")
	}
	results = append(results, ping)
	return append(results, c.throughGateway(ctx, client, opts)...)
}

// clientConfig returns the configuration of a client for a test. The client does not use
// the client_id of the component, so that a service that sends a request to that id
// reaches the running component and not the test.
func (c *connectionCheck) clientConfig() wsx.Config {
	cfg := c.connection.Client
	cfg.ClientID, cfg.ClientName = "", "zato-connect check"
	cfg.CallTimeout = cfg.Timeout
	cfg.OnRequest = func(context.Context, *wsx.ServerRequest) (any, error) {
		return nil, errors.New("this client only tests its connection: send the request to the client of a pipeline")
	}
	return cfg
}

// fail turns a result into a failure. The patterns are those of the pub/sub endpoint that
// decide: publisher's, subscriber's, or "" if none do.
func (r *Result) fail(err error, patterns string) {
	r.Outcome, r.Detail, r.Remedy = Failed, err.Error(), callRemedy(err, patterns)
	var serverErr *wsx.ServerError
	if errors.As(err, &serverErr) {
		r.Detail = serverErr.Error()
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
