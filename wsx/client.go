package wsx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v4"
)

// Client keeps one connection to one WebSocket channel. It connects when it is
// first used, and again whenever the connection ends, until Close. All methods
// may be called at once from any goroutine.
//
// The server runs one request of a connection at a time and pushes messages
// over the same socket, so a program that both subscribes and calls services
// does well to use a Client for each.
type Client struct {
	cfg   Config
	log   *slog.Logger
	inbox *inbox

	// ctx ends when Close is called; stopped is closed when all goroutines
	// are gone.
	ctx    context.Context //nolint:containedctx // the client's own life, which no caller's context may end
	cancel context.CancelFunc
	done   chan struct{}
	start  sync.Once

	ids            atomic.Uint64
	prefix         string
	callTimeoutErr error        // why a call ends at the call timeout
	calls          atomic.Int64 // under way
	traffic        traffic

	// What follows is for the goroutine that looks for a connection, of which there is
	// one at a time.
	backOff       *backoff.ExponentialBackOff
	lastLoggedErr string // the last error that was logged

	current atomic.Pointer[session] // while Ready; changed under mu

	// mu guards what follows. Nothing that can block happens under it.
	mu      sync.Mutex
	state   State
	changed chan struct{} // closed and replaced at every change of state
	lastErr error         // why there is no connection
	subs    []*Subscription
	warned  map[string]bool // what is said only once
}

// New returns a client. It does no I/O and starts nothing. An error lists all
// that is wrong with the configuration.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	life, end := context.WithCancel(context.Background()) //nolint:forbidigo // the client's own life begins here
	return &Client{
		cfg:            cfg,
		log:            cfg.Logger,
		backOff:        newBackOff(&cfg),
		inbox:          newInbox(cfg.PrefetchCount),
		ctx:            life,
		cancel:         end,
		done:           make(chan struct{}),
		prefix:         randomHex(8),
		callTimeoutErr: callTimeoutError(cfg.CallTimeout),
		changed:        make(chan struct{}),
		warned:         map[string]bool{},
	}, nil
}

// State returns what the client is doing now and, while it has no connection,
// why.
func (c *Client) State() (State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.lastErr
}

// Connected tells whether calls can be made at this moment.
func (c *Client) Connected() bool { return c.readySession() != nil }

// readySession returns the session on which calls can be made, nil while there is none.
func (c *Client) readySession() *session {
	if s := c.current.Load(); s != nil && s.alive() {
		return s
	}
	return nil
}

// Disconnected returns a channel that is closed when the present connection is lost. While
// there is none it is closed already.
func (c *Client) Disconnected() <-chan struct{} {
	if s := c.current.Load(); s != nil {
		return s.closing
	}
	none := make(chan struct{})
	close(none)
	return none
}

// Pending is how many calls wait for a connection, a slot or an answer, including
// those that the server still works on though their callers gave up.
func (c *Client) Pending() int {
	n := c.calls.Load()
	if s := c.current.Load(); s != nil {
		n += s.pending.abandoned.Load()
	}
	return int(n)
}

// Abandoned returns the number of calls whose callers gave up while the server still works
// on them. A call counts until the server answers it or the connection ends.
func (c *Client) Abandoned() int {
	if s := c.current.Load(); s != nil {
		return int(s.pending.abandoned.Load())
	}
	return 0
}

// Connect starts connecting in the background, unless the client was used before. It does not
// block. AwaitReady waits for the connection.
func (c *Client) Connect() { c.start.Do(func() { go c.run() }) }

// AwaitReady connects, if need be, and waits until calls can be made. It fails when
// ctx ends (after the call timeout where ctx has no deadline), when the client
// is closed, and at once when the server refuses the login, the channel's path
// or a subscription, or its certificate is not good; the client goes on trying all
// the same.
func (c *Client) AwaitReady(ctx context.Context) error {
	ctx, cancel := c.withCallTimeout(ctx)
	defer cancel()
	_, err := c.awaitSession(ctx)
	return err
}

// awaitSession returns a session on which calls can be made.
func (c *Client) awaitSession(ctx context.Context) (*session, error) {
	c.Connect() //nolint:contextcheck // the client outlives its first caller
	for {
		s, changed, err := c.currentOrWait()
		if s != nil || err != nil {
			return s, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, c.notReady(context.Cause(ctx))
		}
	}
}

// awaitSessionUntil is await until a limit, too.
func (c *Client) awaitSessionUntil(ctx context.Context, end callDeadline) (*session, error) {
	if s, _, err := c.currentOrWait(); s != nil || err != nil {
		return s, err
	}
	ctx, cancel := end.context(ctx)
	defer cancel()
	return c.awaitSession(ctx)
}

// currentOrWait returns the current session, or what to wait for, or why there is no
// point in waiting.
func (c *Client) currentOrWait() (*session, <-chan struct{}, error) {
	if c.ctx.Err() != nil {
		return nil, nil, ErrClosed
	}
	if s := c.readySession(); s != nil {
		return s, nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s := c.readySession(); {
	case s != nil: // since this moment
		return s, nil, nil
	case c.state == Waiting && IsRejected(c.lastErr):
		return nil, nil, fmt.Errorf("%w: %w", ErrNotConnected, c.lastErr)
	}
	// A current session that died this moment is as good as none: its owner is
	// about to say so.
	return nil, c.changed, nil
}

// notReady explains why no connection was there in time.
func (c *Client) notReady(cause error) error {
	state, last := c.State()
	if last != nil {
		return fmt.Errorf("%w (%s): %w: %w", ErrNotConnected, state, cause, last)
	}
	return fmt.Errorf("%w (%s): %w", ErrNotConnected, state, cause)
}

// IsRejected tells whether trying again soon is not likely to help.
func IsRejected(err error) bool {
	var upgrade *UpgradeError
	var certificate *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	return errors.Is(err, ErrLoginRefused) || errors.Is(err, ErrSubscribeFailed) || errors.Is(err, ErrResumeFailed) ||
		errors.As(err, &upgrade) || errors.As(err, &certificate) || errors.As(err, &notTLS)
}

// setState records what the client is doing and wakes whoever waits for it.
func (c *Client) setState(state State, s *session, err error) {
	c.mu.Lock()
	c.state, c.lastErr = state, err
	c.current.Store(s)
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	c.cfg.OnState(state, err)
}

// warnOnce returns true the first time it is called with a key.
func (c *Client) warnOnce(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.warned[key]
	c.warned[key] = true
	return first
}

// newID makes an id that is unique among all clients.
func (c *Client) newID(kind string) string {
	var room [64]byte
	id := append(append(append(room[:0], "zwsxc."...), kind...), '.')
	return string(strconv.AppendUint(append(id, c.prefix...), c.ids.Add(1), 16))
}

// jitter draws a time between zero and d.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d) //nolint:gosec // spreads reconnects, guards nothing
}

// Close ends the connection with code 1000 and a reason that names the client,
// and waits until all of the client's goroutines are gone, about two seconds at
// most. Calls that wait get an error at once. Frames that were read can still
// be received. Close may be called several times.
func (c *Client) Close() error {
	c.cancel()
	c.start.Do(func() { c.finish() }) // never started: there is nothing to wait for
	<-c.done
	return nil
}

// finish is the last thing in a client's life.
func (c *Client) finish() {
	c.setState(Stopped, nil, ErrClosed)
	c.inbox.close()
	close(c.done)
}

// maxReason is the room for a reason in a close frame, in bytes (RFC 6455,
// section 5.5).
const maxReason = 123

// closeReason names the client as the official client does, cut at a rune.
func closeReason(id, name string) string {
	reason := fmt.Sprintf("Client disconnecting id:'%s' name:'%s'", id, name)
	if len(reason) <= maxReason {
		return reason
	}
	cut := maxReason
	for cut > 0 && !utf8.RuneStart(reason[cut]) {
		cut--
	}
	return strings.ToValidUTF8(reason[:cut], "")
}
