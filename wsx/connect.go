package wsx

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// minStableTime is the time after which a connection counts as stable. When a stable
// connection ends, the client reconnects at once, and the back-off starts again from its
// initial interval.
const minStableTime = time.Second

// For restartTime after a connection was lost, the wait is at most maxRestartDelay, or
// the initial interval if that is longer: most outages are restarts, which are short.
// After that, the back-off continues as if there had been no such limit.
const (
	restartTime     = 30 * time.Second
	maxRestartDelay = 2 * time.Second
)

// connectLoop keeps one connection open until Close is called: it dials, logs in,
// restores the subscriptions, serves until the connection ends, drains it, backs
// off, and starts again. While it runs, its goroutine alone changes the state.
func (c *Client) connectLoop() {
	defer c.finish()
	for c.ctx.Err() == nil {
		attempt, cancel := context.WithTimeoutCause(c.ctx, c.cfg.Timeout, c.connectTimeoutErr())
		s, err := c.dial(attempt)
		if err == nil {
			err = c.logIn(attempt, s)
		}
		if err == nil {
			err = c.resubscribe(attempt, s)
		}
		err = withTimeoutCause(attempt, err)
		cancel()

		var uptime time.Duration
		if err == nil {
			uptime, err = c.serve(s)
		}
		if s != nil {
			s.drain(c.ctx, err)
		}
		c.backOff(uptime, err)
	}
}

// dial opens a connection and starts to read from it.
func (c *Client) dial(ctx context.Context) (*session, error) {
	c.setState(Dialing, nil, c.lastErr)
	ws, conn, err := dial(ctx, &c.cfg, &c.traffic)
	if err != nil {
		return nil, err
	}
	s := newSession(c, ws, conn)
	go s.readLoop() //nolint:contextcheck // the session outlives the attempt to connect
	return s, nil
}

// logIn creates the session at the server.
func (c *Client) logIn(ctx context.Context, s *session) error {
	c.setState(LoggingIn, nil, c.lastErr)
	secret, err := readSecret(ctx, &c.cfg)
	if err == nil {
		c.lastSecret = secret
		err = s.logIn(ctx, secret)
	}
	// From here on, the server may push frames, and it does not push them again. So ctx
	// must no longer close the connection, because drain could not read them then.
	if !s.conn.detachDialContext() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = s.requireCompanion(ctx)
	}
	return err
}

// resubscribe restores every subscription of the client.
func (c *Client) resubscribe(ctx context.Context, s *session) error {
	c.setState(Resubscribing, nil, c.lastErr)
	for _, sub := range c.Subscriptions() {
		oldKey := sub.Key
		if err := s.subscribeOrResume(ctx, &sub); err != nil {
			return err
		}
		c.updateSubscription(sub)
		c.notifySubscribed(sub, oldKey)
	}
	return nil
}

// serve lets callers use the session until it ends, and pings the server. It returns how
// long the session was ready, and why it ended.
func (c *Client) serve(s *session) (uptime time.Duration, err error) {
	start := time.Now()
	c.traffic.sessions.Add(1)
	c.setState(Ready, s, nil)
	c.logReady()
	pings := time.NewTicker(c.cfg.PingInterval)
	defer pings.Stop()
	watchDelivery := sync.OnceFunc(func() { s.running.Go(s.watchDelivery) })
	if len(c.Subscriptions()) > 0 {
		watchDelivery()
	}
	for {
		select {
		case <-pings.C:
			s.keepAlive()
		case <-c.subscribed:
			watchDelivery()
		case <-c.ctx.Done():
			s.fail(ErrClosed)
		case <-s.closing:
			c.setState(Draining, nil, s.cause)
			return time.Since(start), s.cause
		}
	}
}

// backOff waits before the next attempt to connect. It returns early when the
// client is closed or its credentials have changed.
func (c *Client) backOff(uptime time.Duration, err error) {
	if c.ctx.Err() != nil {
		return
	}
	delay := c.nextDelay(uptime, err)
	c.logDisconnected(err, delay)
	c.setState(Waiting, nil, err)
	c.awaitNextAttempt(delay, err)
}

// nextDelay returns the time to wait before the next attempt to connect.
func (c *Client) nextDelay(uptime time.Duration, err error) time.Duration {
	stableTime := minStableTime
	if errors.Is(err, errNotDelivered) { // not at once, if the next session has the same problem
		stableTime = 2 * (deliveryInterval + deliveryDoubt)
	}
	switch {
	case uptime >= stableTime:
		c.delays.Reset()
		c.lostAt = time.Now()
		return 0
	case IsRejected(err):
		// An administrator may correct the secret or create the channel, but hardly within
		// seconds.
		return c.cfg.MaxBackOff/2 + jitter(c.cfg.MaxBackOff/2)
	}
	if uptime > 0 && IsTooLarge(err) {
		c.delays.Reset() // a request was at fault, and neither the server nor the network
	}
	delay := c.delays.NextBackOff()
	if time.Since(c.lostAt) < restartTime {
		delay = min(delay, jitter(max(c.cfg.InitialBackOff, maxRestartDelay)))
	}
	var upgrade *UpgradeError
	if errors.As(err, &upgrade) && upgrade.RetryAfter > 0 {
		// The random delay still spreads the clients of a proxy.
		delay = min(upgrade.RetryAfter+delay, c.cfg.MaxBackOff)
	}
	return delay
}

// newBackOff returns an exponential back-off with full jitter: each delay is random, from
// zero to the interval. The library draws from interval*(1-factor) to
// interval*(1+factor), so it gets half of the interval and a factor of 1.
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

// logDisconnected logs why there is no connection. It uses the debug level if it logged
// the same error last.
func (c *Client) logDisconnected(err error, delay time.Duration) {
	text := StableText(err)
	repeated := c.lastLoggedErr == text
	if !errors.Is(err, errHungUp) {
		c.lastLoggedErr = text
	}
	switch {
	case repeated, errors.Is(err, errHungUp):
		c.cfg.ConnectionLogger.Debug("still not connected", "error", err, "next_attempt_in", delay.String())
	case IsRejected(err):
		c.cfg.ConnectionLogger.Error("connection rejected", "error", err, "next_attempt_in", delay.String())
	default:
		c.cfg.ConnectionLogger.Warn("not connected", "error", err, "next_attempt_in", delay.String())
	}
}

// logReady logs that the client is connected again after a failure that it logged.
func (c *Client) logReady() {
	if c.lastLoggedErr != "" {
		c.cfg.ConnectionLogger.Info("connected again")
	}
	c.lastLoggedErr = ""
}

func (c *Client) connectTimeoutErr() error {
	return fmt.Errorf("no session within the timeout of %s: %w", c.cfg.Timeout, context.DeadlineExceeded)
}

// withTimeoutCause returns the error of an attempt to connect. If the attempt failed
// because ctx ended, it adds why ctx ended: the timeout, or Close.
func withTimeoutCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !IsRejected(err) {
		return fmt.Errorf("%w (%w)", cause, err)
	}
	return err
}
