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

// The steps that open a connection.
const (
	stepDNS     = "dns"
	stepTCP     = "tcp"
	stepTLS     = "tls"
	stepUpgrade = "upgrade"
	stepLogin   = "login"
)

// minValidDays is for how many days a certificate should still be valid.
const minValidDays = 14

// tracer records the result of each step while a client opens its connection.
type tracer struct {
	steps   []string // in order
	timeout time.Duration
	// cancel ends the first attempt with its error. There is no second attempt.
	cancel context.CancelCauseFunc

	// mu guards the field below. It is held for assignments only.
	mu      sync.Mutex
	results map[string]Result // by step
}

// open opens a connection once. It returns the client and the result of each step. The
// client is nil if a step failed.
func open(parent context.Context, cfg wsx.Config) (*wsx.Client, []Result) {
	original := cfg
	ctx, cancelTimeout := context.WithTimeout(parent, cfg.Timeout)
	defer cancelTimeout()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t := &tracer{
		steps: []string{stepDNS, stepTCP, stepUpgrade, stepLogin}, timeout: cfg.Timeout,
		cancel: cancel, results: map[string]Result{},
	}
	if strings.HasPrefix(cfg.Address, "wss:") {
		t.steps = []string{stepDNS, stepTCP, stepTLS, stepUpgrade, stepLogin}
	}
	t.attach(&cfg)
	client, err := wsx.New(cfg)
	if err != nil {
		return nil, []Result{{Check: stepDNS, Outcome: Failed, Detail: err.Error()}}
	}
	if err := client.AwaitReady(ctx); err != nil {
		_ = client.Close() // it is not connected
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		results := t.report(err)
		recognizeZato4(parent, &original, err, results)
		return nil, results
	}
	// OnState may not have been called yet.
	t.record(Result{Check: stepLogin, Outcome: OK})
	return client, t.report(nil)
}

// attach sets the callbacks that record the steps.
func (t *tracer) attach(cfg *wsx.Config) {
	cfg.Dial = t.dial
	if strings.HasPrefix(cfg.Address, "wss:") {
		cfg.TLSFunc = t.checkingTLS(cfg.TLS, cfg.TLSFunc)
		cfg.TLS = nil
	}
	cfg.OnState = func(s wsx.State, err error) {
		switch s {
		case wsx.LoggingIn:
			t.record(Result{Check: stepUpgrade, Outcome: OK, Detail: "the server accepted the WebSocket"})
		case wsx.Waiting:
			t.cancel(err)
		case wsx.Idle, wsx.Dialing, wsx.Resubscribing, wsx.Ready, wsx.Draining, wsx.Stopped:
		}
	}
}

// checkingTLS returns a source of the TLS configuration that conf or load is, with a check of
// the server's certificate.
func (t *tracer) checkingTLS(conf *tls.Config, load func() (*tls.Config, error)) func() (*tls.Config, error) {
	return func() (*tls.Config, error) {
		own := &tls.Config{MinVersion: tls.VersionTLS12}
		if conf != nil {
			own = conf.Clone()
		}
		if load != nil {
			var err error
			if own, err = load(); err != nil {
				return nil, err
			}
		}
		own.VerifyConnection = t.checkCertificate
		return own, nil
	}
}

// record stores the first result of a step.
func (t *tracer) record(r Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.results[r.Check]; !known {
		t.results[r.Check] = r
	}
}

// dial resolves the host name before it connects, so that they are separate steps.
func (t *tracer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	t.record(Result{Check: stepDNS, Outcome: OK, Detail: strings.Join(addresses, ", ")})
	began := time.Now()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		t.record(Result{Check: stepTCP, Outcome: OK, Detail: addr, Took: milliseconds(time.Since(began))})
	}
	return conn, err
}

// checkCertificate records a verified certificate, with a warning if it expires soon.
func (t *tracer) checkCertificate(state tls.ConnectionState) error {
	expires := state.PeerCertificates[0].NotAfter
	days := int(math.Floor(time.Until(expires).Hours() / 24))
	r := Result{Check: stepTLS, Outcome: OK, Detail: fmt.Sprintf(
		"%s; the certificate expires in %d days", tls.VersionName(state.Version), days)}
	if days < minValidDays {
		r.Outcome, r.Remedy = Warning, "renew the certificate before "+expires.Format(time.DateOnly)
	}
	t.record(r)
	return nil
}

// report returns the results of all steps. If err is not nil, the first step without a
// result is the one that failed.
func (t *tracer) report(err error) []Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Result
	for _, step := range t.steps {
		r, known := t.results[step]
		switch {
		case known:
		case err != nil:
			r = Result{Check: step, Outcome: Failed, Detail: t.reason(err), Remedy: stepRemedy(step, err)}
			err = nil
		default:
			r = notTested(step, "")
		}
		out = append(out, r)
	}
	return out
}

// reason returns the text of an error without the client's state, which the table shows.
func (t *tracer) reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within connection.timeout (%s)", t.timeout)
	}
	return strings.TrimPrefix(err.Error(), "opening the connection: ")
}
