package wsx

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// framePool holds the memory of frames that are being written.
var framePool = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // it is there to be shared

// send writes one frame. An error means that the server did not get the whole frame,
// and so not the request. It also means that the session has failed, unless the
// caller gave up before its turn to write.
func (s *session) send(ctx context.Context, deadline callDeadline, meta *wire.Meta, data *wire.Data) error {
	if err := s.acquire(ctx, deadline, s.writeLock); err != nil {
		return err
	}
	defer func() { <-s.writeLock }()
	memory := framePool.Get().(*[]byte) //nolint:forcetypeassert // nothing else is in there
	frame := wire.Append((*memory)[:0], meta, data)
	err := s.write(frame)
	if len(frame) <= smallBufferLimit {
		*memory = frame
		framePool.Put(memory)
	}
	if err != nil {
		s.failWrite(err)
		return err
	}
	s.client.traffic.framesOut.Add(1)
	return nil
}

// failWrite ends the session because of an error of a write. A peer that finds a frame too large
// may reset the connection before the end of the frame. Its close frame is then left to be read,
// and is a better reason.
func (s *session) failWrite(err error) {
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-s.closing:
	case <-timer.C:
	}
	s.fail(fmt.Errorf("writing: %w", err))
}

// write writes one frame with one write to the socket, which Zato's own TLS needs
// (docs/protocol.md, "Session"). A frame that does not fit into the write buffer goes
// out as a prepared message, which costs several times as much.
func (s *session) write(frame []byte) error {
	if len(frame) <= writeBufferSize {
		return s.ws.WriteMessage(websocket.TextMessage, frame)
	}
	message, err := websocket.NewPreparedMessage(websocket.TextMessage, frame)
	if err != nil {
		return err
	}
	return s.ws.WritePreparedMessage(message)
}

// acquire takes one of the slots of a semaphore. It waits for one until the session
// ends, ctx ends or the deadline passes.
func (s *session) acquire(ctx context.Context, deadline callDeadline, slots chan<- struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := deadline.context(ctx)
	defer cancel()
	select {
	case slots <- struct{}{}:
		return nil
	case <-s.closing:
		return s.cause
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
