package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/zato-connect/zato-connect/wsx"
)

// The steps by which a connection is opened.
const (
	stepDNS     = "dns"
	stepTCP     = "tcp"
	stepTLS     = "tls"
	stepUpgrade = "upgrade"
	stepLogin   = "login"
)

// expiresSoon is how many days a certificate should be good for at least.
const expiresSoon = 14

// tracer is told by a client of each step of its first attempt to connect.
type tracer struct {
	steps []string // in order
	// failed ends the attempt; there is no second one.
	failed context.CancelCauseFunc

	// mu guards what follows.
	mu   sync.Mutex
	seen map[string]Result
}

// open connects once and returns the client, with what came of each step. The
// client is nil where it could not be connected.
func open(ctx context.Context, cfg wsx.Config) (*wsx.Client, []Result) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	w := &tracer{failed: failed, steps: []string{stepDNS, stepTCP, stepUpgrade, stepLogin}, seen: map[string]Result{}}
	if strings.HasPrefix(cfg.Address, "wss:") {
		w.steps = []string{stepDNS, stepTCP, stepTLS, stepUpgrade, stepLogin}
	}
	w.attach(&cfg)
	client, err := wsx.New(cfg)
	if err != nil {
		return nil, []Result{{Check: stepDNS, Outcome: Failed, Detail: err.Error()}}
	}
	if err := client.AwaitReady(ctx); err != nil {
		_ = client.Close() // it is not connected
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, w.results(err)
	}
	return client, w.results(nil)
}

// attach makes a client tell of each step.
func (w *tracer) attach(cfg *wsx.Config) {
	cfg.Dial = w.dial
	if strings.HasPrefix(cfg.Address, "wss:") {
		conf := &tls.Config{MinVersion: tls.VersionTLS12}
		if cfg.TLS != nil {
			conf = cfg.TLS.Clone()
		}
		conf.VerifyConnection = w.certificate
		cfg.TLS = conf
	}
	cfg.OnState = func(s wsx.State, err error) {
		switch s {
		case wsx.LoggingIn:
			w.note(Result{Check: stepUpgrade, Outcome: OK, Detail: "a WebSocket channel answers"})
		case wsx.Ready:
			w.note(Result{Check: stepLogin, Outcome: OK})
		case wsx.Waiting:
			w.failed(err)
		case wsx.Idle, wsx.Dialing, wsx.Resubscribing, wsx.Draining, wsx.Stopped:
		}
	}
}

// note keeps what came of a step the first time.
func (w *tracer) note(r Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.seen[r.Check]; !known {
		w.seen[r.Check] = r
	}
}

// dial resolves the name first, so that the two can be told apart.
func (w *tracer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	w.note(Result{Check: stepDNS, Outcome: OK, Detail: strings.Join(addresses, ", ")})
	began := time.Now()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		w.note(Result{Check: stepTCP, Outcome: OK, Detail: addr, Took: since(began)})
	}
	return conn, err
}

// certificate looks at a certificate that was found good.
func (w *tracer) certificate(state tls.ConnectionState) error {
	ends := state.PeerCertificates[0].NotAfter
	days := int(math.Floor(time.Until(ends).Hours() / 24))
	r := Result{Check: stepTLS, Outcome: OK, Detail: fmt.Sprintf(
		"%s; the certificate has %d days left", tls.VersionName(state.Version), days)}
	if days < expiresSoon {
		r.Outcome, r.Remedy = Warning, "renew the certificate before "+ends.Format(time.DateOnly)
	}
	w.note(r)
	return nil
}

// results returns all steps. The first one that nothing was heard of is the one
// that failed.
func (w *tracer) results(err error) []Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Result
	for _, step := range w.steps {
		r, known := w.seen[step]
		switch {
		case known:
		case err != nil:
			r = Result{Check: step, Outcome: Failed, Detail: plain(err), Remedy: remedy(step, err)}
			err = nil
		default:
			r = Result{Check: step, Outcome: NotTested, Detail: "a step before it failed"}
		}
		out = append(out, r)
	}
	return out
}

// plain leaves out what the client says of its own state, which the table shows.
func plain(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return strings.TrimPrefix(err.Error(), "opening the connection: ")
}
