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

// readLoop reads frames until the stream ends. Nothing else reads from the connection.
//
// The loop is short because the stack of the goroutine must stay small while it waits for
// a frame: that stack is a large part of the memory of an idle connection.
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
		putLargeBuffer(raw)
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

// handleFrame handles one text frame. If the frame is large and has messages, another
// goroutine decodes it while readLoop reads the next one. The frame has a slot in the
// inbox from the beginning, which keeps the order.
func (s *session) handleFrame(raw []byte) {
	s.client.traffic.framesIn.Add(1)
	frame := Frame{session: s}
	if s.client.cfg.Persist != nil {
		raw = s.buffer.detach(raw)
		frame.Raw, frame.done = raw, s.persist(raw)
	}
	if len(raw) > smallBufferLimit && wire.Type(raw) == wire.TypeMessages {
		slot := s.client.inbox.reserve()
		s.running.Go(func() { s.decodeLarge(raw, frame, slot) })
		return
	}
	if err := s.decodeAndRoute(raw, frame); err != nil {
		s.failFrame(err)
	}
}

// persist passes a frame to Config.Persist if it may be a frame of messages, and returns
// the function that releases the persisted copy, or nil.
func (s *session) persist(raw []byte) (release func()) {
	// The frame is not decoded yet, so its type is not known. A frame of messages contains
	// the name of its type. Another frame may contain that name by chance. It is persisted
	// too, and decode releases it.
	if !bytes.Contains(raw, []byte(wire.TypeMessages)) {
		return nil
	}
	return s.client.cfg.Persist(raw)
}

// decodeAndRoute decodes raw. If it has messages, decodeAndRoute puts them into frame and
// adds frame to the inbox. Otherwise it handles raw as a control frame.
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

// decodeLarge decodes a large frame of messages and puts it into its slot in the inbox.
func (s *session) decodeLarge(raw []byte, frame Frame, slot *slot) {
	f, err := decode(raw, &frame)
	if err == nil && f.Meta.MsgType != wire.TypeMessages {
		err = errors.New("decoding a frame: it has two types")
	}
	if err != nil {
		// Fail before the slot is removed. Otherwise Receive could return a later frame while
		// the session still looks intact.
		s.failFrame(err)
		s.client.inbox.abort(slot)
		return
	}
	s.client.inbox.commit(slot, frame)
}

// decode decodes raw. It sets the id and the messages of frame if raw has messages, and
// calls frame.Done otherwise. The caller must not use raw afterwards: either frame refers
// to its memory, or another frame reuses it.
func decode(raw []byte, frame *Frame) (wire.Frame, error) {
	f, messages, err := wire.Decode(raw, frame.Raw != nil, (*Message).read)
	if err == nil && f.Meta.MsgType == wire.TypeMessages {
		frame.ID, frame.Messages = f.Meta.ID, messages
	} else {
		frame.Done()
	}
	if frame.Raw == nil {
		putLargeBuffer(raw)
	}
	return f, err
}

// failFrame ends the session because of an invalid frame. readLoop still reads the frames
// behind it, because the server counts them as delivered.
func (s *session) failFrame(err error) { s.fail(&frameError{err}) }

// handleControl handles a frame that has no messages: an answer, an error, or a request
// from the server.
func (s *session) handleControl(f wire.Frame) (err error) {
	switch f.Meta.MsgType {
	case wire.TypeSession:
		// The token is set here and not by logIn because a request from the server, which
		// needs it, may be the next frame. A second session must not replace it, because
		// other goroutines read it from now on.
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
		// The server runs one request at a time, in order. So it has not run the requests
		// that still wait for an answer (docs/protocol.md, "Session").
		refusal := &ServerError{Status: f.Meta.Status, Text: wire.Text(f.Data)}
		s.fail(&CallError{Op: "the server ended the session", SendStatus: NotSent, Err: refusal})
	case wire.TypeRequest:
		s.startRequest(f)
	default:
		s.client.log.Warn("ignored a frame of an unknown type", "msg_type", f.Meta.MsgType)
	}
	return nil
}
