package wsx

import (
	"context"
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

// Client keeps one connection to one WebSocket channel. It connects when it is first
// used and reconnects whenever the connection ends, until Close is called. Its methods
// are safe for concurrent use.
//
// The server runs one request of a connection at a time and pushes messages over the
// same socket. So a program that both subscribes and calls services should use a
// Client for each.
type Client struct {
	cfg   Config
	log   *slog.Logger
	inbox *inbox

	// ctx ends when Close is called. done is closed when all goroutines have ended.
	ctx    context.Context //nolint:containedctx // the client's own; no caller's context may end it
	cancel context.CancelFunc
	done   chan struct{}
	start  sync.Once

	ids            atomic.Uint64
	idPrefix       string
	callTimeoutErr error        // of a call that the call timeout ends
	calls          atomic.Int64 // calls of callers that have not given up
	traffic        traffic

	// connectLoop alone uses these.
	delays        *backoff.ExponentialBackOff
	lastLoggedErr string    // its StableText
	lostAt        time.Time // when the last stable session ended
	lastSecret    Secret    // of the last login

	current atomic.Pointer[session] // nil unless Ready; changed under mu
	// subscribed receives a signal when a subscription is added.
	subscribed chan struct{}

	// mu guards the fields below. Nothing blocks under it.
	mu      sync.Mutex
	state   State
	changed chan struct{} // closed and replaced at every change of state
	lastErr error         // why there is no connection
	subs    []*Subscription
	warned  map[string]bool // the warnings that were logged once
}

// New returns a client. It does no I/O and starts no goroutine. The error lists
// everything that is wrong with the configuration.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // the client outlives every caller
	return &Client{
		cfg:            cfg,
		log:            cfg.Logger,
		delays:         newBackOff(&cfg),
		inbox:          newInbox(cfg.PrefetchCount),
		ctx:            ctx,
		cancel:         cancel,
		done:           make(chan struct{}),
		idPrefix:       randomHex(8),
		callTimeoutErr: callTimeoutError(cfg.CallTimeout),
		changed:        make(chan struct{}),
		subscribed:     make(chan struct{}, 1),
		warned:         map[string]bool{},
	}, nil
}

// State returns what the client is doing and, while there is no connection, why.
func (c *Client) State() (State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.lastErr
}

// Connected reports whether calls can be made now.
func (c *Client) Connected() bool { return c.readySession() != nil }

// readySession returns the session for calls, or nil if there is none.
func (c *Client) readySession() *session {
	if s := c.current.Load(); s != nil && s.alive() {
		return s
	}
	return nil
}

// Disconnected returns a channel that is closed when the current connection ends. If
// there is none, the channel is closed already.
func (c *Client) Disconnected() <-chan struct{} {
	if s := c.current.Load(); s != nil {
		return s.closing
	}
	closed := make(chan struct{})
	close(closed)
	return closed
}

// Pending returns the number of calls that wait for a connection, a slot or an answer.
// It includes the calls whose callers gave up and that the server has not answered.
func (c *Client) Pending() int {
	return int(c.calls.Load()) + c.Abandoned()
}

// Abandoned returns the number of calls whose callers gave up while the server still works
// on them. A call counts until the server answers it or the connection ends.
func (c *Client) Abandoned() int {
	if s := c.current.Load(); s != nil {
		return int(s.pending.abandoned.Load())
	}
	return 0
}

// Connect starts connecting in the background, unless the client was used before. It does
// not block. AwaitReady waits for the connection.
func (c *Client) Connect() { c.start.Do(func() { go c.connectLoop() }) }

// AwaitReady connects, if necessary, and waits until calls can be made. It fails when
// ctx ends (or after the call timeout if ctx has no deadline) and when the client is
// closed. It fails at once when the server rejects the login, the path or a
// subscription, or when its certificate is invalid. The client keeps trying to connect
// all the same.
func (c *Client) AwaitReady(ctx context.Context) error {
	ctx, cancel := c.withCallTimeout(ctx)
	defer cancel()
	_, err := c.awaitSession(ctx)
	return err
}

// awaitSession starts the client, if necessary, and waits for a session for calls.
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
			return nil, c.notReadyErr(context.Cause(ctx))
		}
	}
}

// awaitSessionUntil is awaitSession with a deadline.
func (c *Client) awaitSessionUntil(ctx context.Context, deadline callDeadline) (*session, error) {
	if s, _, err := c.currentOrWait(); s != nil || err != nil {
		return s, err
	}
	ctx, cancel := deadline.context(ctx)
	defer cancel()
	return c.awaitSession(ctx)
}

// currentOrWait returns the session for calls. If there is none, it returns a channel
// that is closed at the next change of state, or an error if it is no use to wait.
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
	case s != nil: // it became ready before mu was locked
		return s, nil, nil
	case c.state == Waiting && IsRejected(c.lastErr):
		return nil, nil, fmt.Errorf("%w: %w", ErrNotConnected, c.lastErr)
	}
	// If the current session has just failed, connectLoop is about to change the state.
	return nil, c.changed, nil
}

// notReadyErr explains why there was no connection when a caller stopped waiting.
func (c *Client) notReadyErr(cause error) error {
	state, last := c.State()
	if last != nil {
		return fmt.Errorf("%w (%s): %w: %w", ErrNotConnected, state, cause, last)
	}
	return fmt.Errorf("%w (%s): %w", ErrNotConnected, state, cause)
}

// setState records what the client is doing, with the session if it is Ready and the
// reason if it has no connection, and wakes everything that waits for a change.
func (c *Client) setState(state State, s *session, err error) {
	c.mu.Lock()
	c.state, c.lastErr = state, err
	c.current.Store(s)
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	c.cfg.OnState(state, err)
}

// warnOnce logs a warning the first time it is called with it.
func (c *Client) warnOnce(warning string) {
	c.mu.Lock()
	warned := c.warned[warning]
	c.warned[warning] = true
	c.mu.Unlock()
	if !warned {
		c.log.Warn(warning)
	}
}

// newID returns an id that is unique among all clients. The kind helps people who read
// the log of the server.
func (c *Client) newID(kind string) string {
	var memory [64]byte
	id := append(append(append(memory[:0], "zwsxc."...), kind...), '.')
	return string(strconv.AppendUint(append(id, c.idPrefix...), c.ids.Add(1), 16))
}

// jitter returns a random duration from zero to d.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d) //nolint:gosec // spreads reconnects, guards nothing
}

// Close closes the connection with the code 1000 and a reason that names the client. It
// returns when all goroutines of the client have ended, after about two seconds at
// most. Pending calls fail at once. Receive still returns the frames that were read.
// Close may be called more than once. It always returns nil.
func (c *Client) Close() error {
	c.cancel()
	c.start.Do(c.finish) // connectLoop does it if it was started
	<-c.done
	return nil
}

// finish makes the client Stopped.
func (c *Client) finish() {
	c.setState(Stopped, nil, ErrClosed)
	c.inbox.close()
	close(c.done)
}

// maxReason is the longest reason in a close frame, in bytes (RFC 6455, section 5.5).
const maxReason = 123

// closeReason returns the reason of a close frame, in the form of the official client. A
// long reason is cut between two runes.
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
