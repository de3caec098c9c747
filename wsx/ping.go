package wsx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/gorilla/websocket"
)

// maxPongs bounds the pongs that wait while a frame is being written. The server sends the next
// ping at least five seconds later if it misses a pong (docs/protocol.md, "Keep-alive").
const maxPongs = 4

// Ping sends a WebSocket ping and returns the time until its pong arrived. It waits for
// a connection and fails as Call does. The server answers no ping while it runs a
// service for the connection (docs/protocol.md, "Keep-alive").
func (c *Client) Ping(ctx context.Context) (time.Duration, error) {
	ctx, cancel := c.withCallTimeout(ctx)
	defer cancel()
	s, err := c.awaitSession(ctx)
	if err != nil {
		return 0, fmt.Errorf("pinging: %w", err)
	}
	took, err := s.awaitPong(ctx, c.newID("ping"))
	if err != nil {
		return 0, fmt.Errorf("pinging: %w", err)
	}
	return took, nil
}

// awaitPong sends a ping with a unique payload and waits for its pong.
func (s *session) awaitPong(ctx context.Context, payload string) (time.Duration, error) {
	arrived := make(chan struct{})
	s.mu.Lock()
	s.pongs[payload] = arrived
	s.mu.Unlock()
	defer s.handlePong(payload)
	start := time.Now()
	if err := s.writePing([]byte(payload)); err != nil {
		return 0, err
	}
	select {
	case <-arrived:
		return time.Since(start), nil
	case <-s.closing:
		return 0, s.closedErr()
	case <-ctx.Done():
		return 0, fmt.Errorf("no answer: %w", context.Cause(ctx))
	}
}

// handlePong wakes the caller that waits for the pong with this payload, if any.
func (s *session) handlePong(payload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if arrived := s.pongs[payload]; arrived != nil {
		close(arrived)
		delete(s.pongs, payload)
	}
}

// answerPing answers a ping of the server byte for byte, which also extends the life of
// the token (docs/protocol.md, "Keep-alive"). It does not wait: a pong has to wait while a
// frame is being written, and the server may be unable to read that frame before the client
// reads on.
func (s *session) answerPing(payload string) error {
	select {
	case s.pongSlots <- struct{}{}:
		s.running.Go(func() {
			defer func() { <-s.pongSlots }()
			s.sendPong(payload)
		})
	default:
		s.client.log.Debug("could not answer a ping", "error", "other pings wait for their answers")
	}
	return nil
}

// sendPong sends a pong. If the write fails, the reader notices a dead socket with its next
// read. On a busy one, the server misses one pong.
func (s *session) sendPong(payload string) {
	deadline := time.Now().Add(s.client.cfg.Timeout)
	if err := s.ws.WriteControl(websocket.PongMessage, []byte(payload), deadline); err != nil {
		s.client.log.Debug("could not answer a ping", "error", err)
	}
}

// ping sends a ping so that the server sends something back. If it does not, the read
// timeout of the connection ends the session.
func (s *session) ping() {
	if err := s.writePing(nil); err != nil {
		s.client.log.Debug("could not send a ping", "error", err)
	}
}

// writePing writes a ping. If the write fails, writePing ends the session: the reader may
// not notice for a long time, because it does not read while messages wait for the
// program. The end of the session is then logged late too, so writePing logs a warning.
func (s *session) writePing(payload []byte) error {
	err := s.ws.WriteControl(websocket.PingMessage, payload, time.Now().Add(s.client.cfg.Timeout))
	if err == nil || !s.alive() || errors.Is(err, websocket.ErrCloseSent) || isWriteLockTimeout(err) {
		return err // the reader reports a close frame of the server
	}
	err = fmt.Errorf("a ping could not be sent: %w", err)
	s.fail(err)
	s.client.log.Warn("the connection is broken: it is replaced once the messages that arrived are received", "error", err)
	return err
}

// isWriteLockTimeout reports whether a control frame was not written because another
// frame was being written all the time. That one has a timeout of its own.
func isWriteLockTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, os.ErrDeadlineExceeded)
}
