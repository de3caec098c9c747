package wsx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/gorilla/websocket"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

const (
	// minStableTime is how long a connection must have been ready for the next attempt
	// to be made at once and the back-off to begin anew.
	minStableTime = time.Second
	// closeTimeout bounds the reading of what was in flight after our own close
	// frame.
	closeTimeout = time.Second
)

// run opens connections until one is ready. What becomes of that one is seen to when it
// ends, by next: a connection that is idle has no goroutine but its reader.
func (c *Client) run() {
	for {
		s, err := c.open()
		if err == nil {
			c.begin(s)
			return
		}
		if !c.wait(0, err) {
			c.finish()
			return
		}
	}
}

// begin lets calls be made on a session, until it dies.
func (c *Client) begin(s *session) {
	s.readyAt = time.Now()
	c.traffic.sessions.Add(1)
	c.setState(Ready, s, nil)
	c.reportReady()
	stop := context.AfterFunc(c.ctx, func() { s.fail(ErrClosed) })
	s.live(func() {
		stop()
		c.next(s)
	})
}

// next follows the end of a session with another one.
func (c *Client) next(s *session) {
	readyFor := time.Since(s.readyAt)
	c.setState(Draining, nil, s.cause)
	s.drain(c.ctx)
	if !c.wait(readyFor, s.cause) {
		c.finish()
		return
	}
	c.run()
}

// wait waits until it is time for the next attempt. It returns false when the client is
// closed.
func (c *Client) wait(readyFor time.Duration, err error) bool {
	if c.ctx.Err() != nil {
		return false
	}
	pause := c.pause(readyFor, err)
	c.report(err, pause)
	c.setState(Waiting, nil, err)
	return c.sleep(pause)
}

// newBackOff makes an exponential back-off with full jitter: the library draws
// from interval*(1-factor) to interval*(1+factor), so half the interval and a
// factor of one draw from zero to the interval.
func newBackOff(cfg *Config) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(cfg.InitialBackOff/2),
		backoff.WithMaxInterval(cfg.MaxBackOff/2),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(1),
		backoff.WithMaxElapsedTime(0),
	)
	b.Reset()
	return b
}

// pause says how long to wait before the next attempt.
func (c *Client) pause(readyFor time.Duration, err error) time.Duration {
	switch {
	case readyFor >= minStableTime:
		c.backOff.Reset()
		return 0
	case IsRejected(err):
		// A secret may be rotated and a channel made, but not in a hurry.
		return c.cfg.MaxBackOff/2 + jitter(c.cfg.MaxBackOff/2)
	}
	return c.backOff.NextBackOff()
}

// report logs the end of a connection or of an attempt, the same cause once.
func (c *Client) report(err error, pause time.Duration) {
	known := c.lastLoggedErr == err.Error()
	c.lastLoggedErr = err.Error()
	switch {
	case known:
		c.log.Debug("still no connection", "error", err, "next_attempt_in", pause.String())
	case IsRejected(err):
		c.log.Error("connection refused", "error", err, "next_attempt_in", pause.String())
	default:
		c.log.Warn("no connection", "error", err, "next_attempt_in", pause.String())
	}
}

// reportReady logs that a connection which was missed is there again.
func (c *Client) reportReady() {
	if c.lastLoggedErr != "" {
		c.log.Info("connected again")
	}
	c.lastLoggedErr = ""
}

func (c *Client) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// open dials, logs in and restores subscriptions, all within the timeout.
func (c *Client) open() (*session, error) {
	_, last := c.State()
	ctx, cancel := context.WithTimeoutCause(c.ctx, c.cfg.Timeout, c.connectTimeoutErr())
	defer cancel()

	c.setState(Dialing, nil, last)
	conn, link, err := dial(ctx, &c.cfg, &c.traffic)
	if err != nil {
		return nil, withTimeoutCause(ctx, err)
	}
	s := newSession(c, conn, link)
	go s.readLoop()

	c.setState(LoggingIn, nil, last)
	err = s.logIn(ctx)
	// From here on the server may push what it will not push again, so the connection
	// is not cut any more when ctx ends, but read to its end.
	if !link.stopDialCancel() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		c.setState(Resubscribing, nil, last)
		err = s.resubscribe(ctx)
	}
	if err != nil {
		s.fail(err)
		s.drain(c.ctx)
		return nil, withTimeoutCause(ctx, err)
	}
	return s, nil
}

func (c *Client) connectTimeoutErr() error {
	return fmt.Errorf("no session within the timeout of %s: %w", c.cfg.Timeout, context.DeadlineExceeded)
}

// withTimeoutCause names the timeout where it is why an attempt failed.
func withTimeoutCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !IsRejected(err) {
		return fmt.Errorf("%w (%w)", cause, err)
	}
	return err
}

// logIn creates the session. There is no renewal: its token lives as long as
// pings are answered (docs/protocol.md, "Session").
func (s *session) logIn(ctx context.Context) error {
	cfg := &s.client.cfg
	meta := s.client.meta(wire.ActionCreateSession, s.client.newID("auth"))
	meta.Username, meta.Secret, meta.Attrs = cfg.Username, cfg.Secret.Reveal(), attrs(cfg.Attributes)
	_, err := s.controlCall(ctx, meta, &wire.Data{})
	return explainLogin(err)
}

// explainLogin tells a refusal from a lost connection.
func explainLogin(err error) error {
	var server *ServerError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &server):
		return fmt.Errorf("%w: %w", ErrLoginRefused, server)
	}
	return fmt.Errorf("logging in: %w", err)
}

// meta makes what every frame of this client begins with.
func (c *Client) meta(action, id string) wire.Meta {
	return wire.Meta{
		Action: action, ID: id, Time: time.Now(),
		ClientID: c.cfg.ClientID, ClientName: c.cfg.ClientName,
	}
}

// keepAlive keeps the link alive.
func (s *session) keepAlive() {
	s.ping()
	s.failIfStalled(readTimeout(&s.client.cfg))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == nil {
		s.pings.Reset(s.client.cfg.PingInterval)
	}
}

// drain says goodbye and reads to the end of the stream: what is in flight was
// delivered in the server's eyes and will not come again (docs/protocol.md,
// "Delivery"). While the client lives, frames that wait to be taken may hold the
// reader up for as long as they like, and only the server's silence is bounded.
// A client that is being closed holds nothing up and bounds the whole.
func (s *session) drain(life context.Context) {
	defer s.handlers.Wait()
	defer s.ws.Close() //nolint:errcheck // nothing is left to lose
	cfg := &s.client.cfg
	deadline := time.Now().Add(closeTimeout)
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, closeReason(cfg.ClientID, cfg.ClientName))
	_ = s.ws.WriteControl(websocket.CloseMessage, bye, deadline)
	s.conn.lowerReadTimeout(closeTimeout)
	select {
	case <-s.readDone:
		return
	case <-life.Done():
	}
	s.client.inbox.removeLimit()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-s.readDone:
	case <-timer.C:
		_ = s.ws.Close()
		<-s.readDone
	}
}
