package check

import (
	"context"
	"errors"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// Outcome is what came of a check.
type Outcome string

// The outcomes. A Warning does not make a check fail.
const (
	OK        Outcome = "ok"
	Warning   Outcome = "warning"
	Failed    Outcome = "failed"
	NotTested Outcome = "not tested"
)

// Result is one line of a report.
type Result struct {
	// Check is what was looked at: dns, tcp, tls, upgrade, login, ping, gateway,
	// subscribe or publish.
	Check   string  `json:"check"`
	Topic   string  `json:"topic,omitempty"`
	Outcome Outcome `json:"outcome"`
	// Detail says what was found, Remedy what to do about it.
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

// Options say how far a check goes.
type Options struct {
	// Subscribe subscribes to the topics and unsubscribes at once. What waits at
	// the server for a first subscriber is taken by it and lost.
	Subscribe bool
}

// Files tries each distinct connection of the files, one after the other, and
// starts the simulators that they bring along. It fails where a file cannot be read
// or is not a good configuration, when nothing is tried.
func Files(ctx context.Context, schema *service.ConfigSchema, files []string, opts Options) ([]Connection, error) {
	plans, err := read(schema, files)
	if err != nil {
		return nil, err
	}
	var out []Connection
	for _, p := range plans {
		reports, err := p.run(ctx, schema, opts)
		if err != nil {
			return nil, err
		}
		out = append(out, reports...)
	}
	return out, ctx.Err()
}

// Passed tells whether no check failed.
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

func (p *group) run(ctx context.Context, schema *service.ConfigSchema, opts Options) (out []Connection, err error) {
	if len(p.simulators) > 0 {
		stop, err := simulate(ctx, schema, p.simulators)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	for _, t := range p.checks {
		out = append(out, Connection{
			Address: t.connection.Client.Address, Username: t.connection.Client.Username,
			Components: t.components, Results: t.run(ctx, opts),
		})
	}
	return out, nil
}

// run tries one connection.
func (t *connectionCheck) run(ctx context.Context, opts Options) []Result {
	cfg := t.client()
	client, results := open(ctx, cfg)
	if client == nil {
		return results
	}
	defer client.Close() //nolint:errcheck // it always succeeds
	took, err := client.Ping(ctx)
	ping := Result{Check: "ping", Outcome: OK, Took: milliseconds(took)}
	if err != nil {
		ping.refused(err, "")
	}
	results = append(results, ping)
	if len(t.subscribes) > 0 {
		results = append(results, t.gateway(ctx, client))
	}
	for _, topic := range t.subscribes {
		results = append(results, t.subscribe(ctx, topic, opts))
	}
	for _, topic := range t.publishes {
		r := Result{Check: "publish", Topic: topic, Outcome: OK}
		if err := client.CheckPublish(ctx, topic); err != nil {
			r.refused(err, "publisher's")
		}
		results = append(results, r)
	}
	return results
}

// client is how to connect for a check: under a name of its own, so that a service
// which asks for the client finds the one that can answer.
func (t *connectionCheck) client() wsx.Config {
	cfg := t.connection.Client
	cfg.ClientID, cfg.ClientName = "", "zato-connect check"
	cfg.CallTimeout = cfg.Timeout
	cfg.OnRequest = func(context.Context, *wsx.ServerRequest) (any, error) {
		return nil, errors.New("this client only checks its connection")
	}
	return cfg
}

// gateway looks whether subscriptions can be as durable as they are to be.
func (t *connectionCheck) gateway(ctx context.Context, client *wsx.Client) Result {
	const stock = "stock: its subscriptions end with their connection"
	patched, err := client.SupportsDurable(ctx)
	r := Result{Check: "gateway", Outcome: OK, Detail: "patched: subscriptions can be durable"}
	switch {
	case err != nil:
		r.refused(err, "subscriber's")
	case patched:
	case t.wantsDurable():
		r.Outcome, r.Detail = Failed, stock+", yet durable ones are asked for"
		r.Remedy = "mend the gateway as docs/protocol.md says, or set durable: false and do without what comes meanwhile"
	default:
		r.Detail = stock + ", and no durable ones are asked for"
	}
	return r
}

func (t *connectionCheck) wantsDurable() bool {
	for _, topic := range t.subscribes {
		if topic.durable {
			return true
		}
	}
	return false
}

// refused makes a result of what the server, or the connection, said no to.
func (r *Result) refused(err error, role string) {
	r.Outcome, r.Detail, r.Remedy = Failed, err.Error(), refusalRemedy(err, role)
	var said *wsx.ServerError
	if errors.As(err, &said) {
		r.Detail = said.Error()
	}
}

func since(t time.Time) float64 { return milliseconds(time.Since(t)) }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
