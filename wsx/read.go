package wsx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gorilla/websocket"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// readLoop reads frames until the stream ends. It is the only reader of the
// connection. The stack of a goroutine that waits for a frame is a large part of the
// memory of an idle connection, so the loop is short and calls out for the rest.
func (s *session) readLoop() {
	for {
		kind, r, err := s.ws.NextReader()
		if err == nil {
			err = s.readFrame(kind, r)
		}
		if err != nil {
			s.finishReading(err)
			return
		}
	}
}

// readFrame reads and handles one frame, then waits until the next one may be read.
func (s *session) readFrame(kind int, r io.Reader) error {
	raw, err := s.buffer.read(r)
	if err != nil {
		return err
	}
	if kind == websocket.TextMessage {
		s.handleFrame(raw)
	} else {
		putLarge(raw)
	}
	s.client.inbox.awaitSpace()
	return nil
}

// finishReading records why the stream ended.
func (s *session) finishReading(err error) {
	s.fail(s.explainRead(err))
	close(s.readDone)
}

// explainRead names the reason why the stream ended.
func (s *session) explainRead(err error) error {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Code == websocket.CloseAbnormalClosure:
		return errors.New("the connection ended without a close frame")
	case errors.As(err, &closed):
		return &CloseError{Code: closed.Code, Text: closed.Text}
	case errors.Is(err, websocket.ErrReadLimit):
		return &frameError{errors.New("a frame is larger than max_message_size: raise it or publish smaller messages")}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no data arrived for %s, not even a ping: %w", readTimeout(&s.client.cfg), err)
	}
	return fmt.Errorf("reading: %w", err)
}

// handleFrame handles one text frame. A large frame of messages is decoded in a
// goroutine of its own while the next one is read. Its slot in the inbox keeps the order.
func (s *session) handleFrame(raw []byte) {
	s.client.traffic.framesIn.Add(1)
	frame := Frame{session: s}
	if s.client.cfg.Persist != nil {
		raw = s.buffer.detach(raw)
		frame.Raw, frame.done = raw, s.persist(raw)
	}
	if len(raw) > smallBufferLimit && wire.Type(raw) == wire.TypeMessages {
		slot := s.client.inbox.reserve()
		s.handlers.Go(func() { s.decodeLarge(raw, frame, slot) })
		return
	}
	if err := s.decodeAndRoute(raw, frame); err != nil {
		s.failFrame(err)
	}
}

// persist passes a frame to Config.Persist if it may be a frame of messages. The
// function it returns, which may be nil, says that the frame is no longer needed.
func (s *session) persist(raw []byte) (release func()) {
	// Every frame of messages contains its type. Another frame that contains the type
	// as well is released once it is decoded.
	if !bytes.Contains(raw, []byte(wire.TypeMessages)) {
		return nil
	}
	return s.client.cfg.Persist(raw)
}

// decodeAndRoute decodes a frame and passes it on. Messages become part of frame, which
// may take over the memory of raw.
func (s *session) decodeAndRoute(raw []byte, frame Frame) error {
	f, err := decode(raw, &frame)
	if err != nil {
		return err
	}
	if f.Meta.MsgType != wire.TypeMessages {
		return s.handleControl(f)
	}
	s.client.inbox.add(frame)
	return nil
}

// decodeLarge decodes a large frame of messages into its slot.
func (s *session) decodeLarge(raw []byte, frame Frame, slot *slot) {
	f, err := decode(raw, &frame)
	if err == nil && f.Meta.MsgType != wire.TypeMessages {
		err = errors.New("decoding a frame: it has two types")
	}
	if err != nil {
		// First fail, so that nobody takes a later frame of a session that looks intact.
		s.failFrame(err)
		s.client.inbox.abort(slot)
		return
	}
	s.client.inbox.commit(slot, frame)
}

// decode decodes raw, and messages into frame. The caller must not use raw afterwards:
// it is reused, or belongs to the frame.
func decode(raw []byte, frame *Frame) (wire.Frame, error) {
	f, messages, err := wire.Decode(raw, frame.Raw != nil, (*Message).read)
	if err == nil && f.Meta.MsgType == wire.TypeMessages {
		frame.ID, frame.Messages = f.Meta.ID, messages
	} else {
		frame.Done()
	}
	if frame.Raw == nil {
		putLarge(raw)
	}
	return f, err
}

// failFrame ends the session because of an invalid frame. The server counts the frames
// behind it as delivered, so they are still read, as after any other end.
func (s *session) failFrame(err error) { s.fail(&frameError{err}) }

// handleControl handles a frame that has no messages.
func (s *session) handleControl(f wire.Frame) (err error) {
	switch f.Meta.MsgType {
	case wire.TypeSession:
		// The token is set here and not by logIn because a request of the server may
		// follow at once. It is set only once because other goroutines read it from now on.
		if s.token != "" {
			return errors.New("the server opened a second session on the connection")
		}
		if s.token, err = wire.Token(f.Data); err != nil {
			return fmt.Errorf("logging in: %w", err)
		}
		s.pending.resolve(f.Meta.InReplyTo, result{data: f.Data, status: f.Meta.Status})
	case wire.TypeOK:
		s.pending.resolve(f.Meta.InReplyTo, result{data: f.Data, status: f.Meta.Status})
	case wire.TypeError:
		failure := &ServerError{Status: f.Meta.Status, Text: f.Meta.ErrorMessage, CID: wire.ErrorCID(f.Data)}
		s.pending.resolve(f.Meta.InReplyTo, result{err: failure})
	case wire.TypeRefused:
		// The server runs one request at a time and in order. So it has not read the
		// requests that wait for an answer now (docs/protocol.md, "Session").
		refusal := &ServerError{Status: f.Meta.Status, Text: wire.Text(f.Data)}
		s.fail(&CallError{Op: "the server ended the session", SendStatus: NotSent, Err: refusal})
	case wire.TypeRequest:
		s.startRequest(f)
	default:
		s.client.log.Warn("ignored a frame of an unknown type", "msg_type", f.Meta.MsgType)
	}
	return nil
}
