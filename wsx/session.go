package wsx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/zato-connect/zato-connect/wsx/internal/wire"
)

// session is one connection, from the upgrade to the end of its stream. It is
// born, lives and dies; it is never reset, so that nothing late can disturb
// its successor.
type session struct {
	client *Client
	ws     *websocket.Conn
	conn   *timeoutConn // what conn reads from and writes to, below TLS
	token  string       // set by the reader before anybody needs it
	buffer frameBuffer  // for the reader

	// writeLock is a mutex that can be waited for together with other things.
	writeLock chan struct{}
	pending   *pendingCalls // for answers

	// requests bounds the requests of the server that are being handled.
	requests chan struct{}
	handlers sync.WaitGroup // what handles frames that were read

	readyAt time.Time // when calls could be made first

	// closing is closed, with cause set before, when no more calls can succeed.
	closing  chan struct{}
	cause    error
	onClosed func() // what is to be done then
	pings    *time.Timer
	// readDone is closed when the stream was read to its end.
	readDone chan struct{}

	// mu guards cause, after, pings and what follows; nothing that can block happens
	// under it.
	mu    sync.Mutex
	pongs map[string]chan struct{} // closed when the pong with the payload comes
}

func newSession(c *Client, conn *websocket.Conn, link *timeoutConn) *session {
	s := &session{
		client:    c,
		ws:        conn,
		conn:      link,
		writeLock: make(chan struct{}, 1),
		pending:   newPendingCalls(c.cfg.CallsPerConnection, c.cfg.OnLateAnswer),
		closing:   make(chan struct{}),
		readDone:  make(chan struct{}),
		pongs:     map[string]chan struct{}{},
		requests:  make(chan struct{}, maxServerRequests),
	}
	conn.SetPingHandler(s.answerPing)
	conn.SetPongHandler(func(payload string) error {
		s.handlePong(payload)
		return nil
	})
	return s
}

// answerPing answers a ping of the server byte for byte, which also lengthens the
// life of the token (docs/protocol.md, "Keep-alive").
func (s *session) answerPing(payload string) error {
	deadline := time.Now().Add(s.client.cfg.Timeout)
	if err := s.ws.WriteControl(websocket.PongMessage, []byte(payload), deadline); err != nil {
		// A dead socket shows itself to the reader; a busy one costs one miss.
		s.client.log.Debug("could not answer a ping", "error", err)
	}
	return nil
}

// ping asks the server for a sign of life. The silence limit of the connection
// notices when none comes.
func (s *session) ping() {
	deadline := time.Now().Add(s.client.cfg.Timeout)
	if err := s.ws.WriteControl(websocket.PingMessage, nil, deadline); err != nil {
		s.client.log.Debug("could not send a ping", "error", err)
	}
}

// readLoop reads frames until the stream ends. It is the only reader. What it needs on the
// stack while it waits for a frame is a good part of the memory of an idle connection,
// so that all else is done elsewhere.
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

// readFrame reads the frame that has begun, handles it, and waits until the next one
// may be read.
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

// finishReading says why nothing more is read.
func (s *session) finishReading(err error) {
	s.fail(explainRead(err))
	close(s.readDone)
}

// handleFrame handles a frame that was read. A large one of messages is decoded beside what
// is read next, and keeps its place.
func (s *session) handleFrame(raw []byte) {
	s.client.traffic.framesIn.Add(1)
	frame := Frame{session: s}
	if s.client.cfg.Persist != nil {
		raw = s.buffer.detach(raw)
		frame.Raw, frame.done = raw, s.persist(raw)
	}
	if len(raw) > smallBufferLimit && wire.Type(raw) == wire.TypeMessages {
		place := s.client.inbox.reserve()
		s.handlers.Go(func() { s.decodeLarge(raw, frame, place) })
		return
	}
	if err := s.decodeAndRoute(raw, frame); err != nil {
		s.failFrame(err)
	}
}

// failFrame ends the session for a frame that is not what it should be. What comes behind
// the frame was delivered in the server's eyes: it is read as after any other end.
func (s *session) failFrame(err error) { s.fail(&frameError{err}) }

// explainRead names the reason why a connection ended.
func explainRead(err error) error {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Code == websocket.CloseAbnormalClosure:
		return errors.New("the connection ended without a close frame")
	case errors.As(err, &closed):
		return &CloseError{Code: closed.Code, Text: closed.Text}
	case errors.Is(err, websocket.ErrReadLimit):
		return &frameError{errors.New("a frame is larger than max_message_size: raise it or publish smaller messages")}
	}
	return fmt.Errorf("reading: %w", err)
}

// persist has a frame of messages kept. What it returns says that it need not be any more.
func (s *session) persist(raw []byte) (release func()) {
	// Any frame of messages has its type somewhere; another that has it is let go again.
	if !bytes.Contains(raw, []byte(wire.TypeMessages)) {
		return nil
	}
	return s.client.cfg.Persist(raw)
}

// decodeAndRoute hands what was read to whom it is for: messages as frame, which may have it
// for its own.
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

// decodeLarge puts a frame of messages into its place.
func (s *session) decodeLarge(raw []byte, frame Frame, place *slot) {
	f, err := decode(raw, &frame)
	if err == nil && f.Meta.MsgType != wire.TypeMessages {
		err = errors.New("decoding a frame: it has two types")
	}
	if err != nil {
		s.failFrame(err) // before anybody has what comes behind it
		s.client.inbox.abort(place)
		return
	}
	s.client.inbox.commit(place, frame)
}

// decode decodes what was read, and messages into frame. It is of no use afterwards, but
// for a frame that has it.
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

// handleControl takes a frame that has no messages.
func (s *session) handleControl(f wire.Frame) (err error) {
	switch f.Meta.MsgType {
	case wire.TypeSession:
		// Set here, for a request of the server may follow at once; and once, for there
		// is no renewal, and others read it from now on.
		if s.token != "" {
			return errors.New("a second session was opened on the connection")
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
		// The server runs one request at a time and in order, so what waits for
		// an answer now was refused unread (docs/protocol.md, "Session").
		refusal := &ServerError{Status: f.Meta.Status, Text: wire.Text(f.Data)}
		s.fail(&CallError{Op: "the server ended the session", SendStatus: NotSent, Err: refusal})
	case wire.TypeRequest:
		s.startRequest(f)
	default:
		s.client.log.Warn("ignored a frame of an unknown type", "msg_type", f.Meta.MsgType)
	}
	return nil
}

// fail makes whoever waits for something give up at once. The first cause stands.
func (s *session) fail(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return
	}
	s.cause = cause
	close(s.closing)
	s.pending.close(s.pendingErr(), notSent(cause))
	if s.onClosed != nil {
		s.pings.Stop()
		go s.onClosed()
	}
}

// live keeps the session alive, and has something done when it dies, in a goroutine of
// its own.
func (s *session) live(after func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		go after()
		return
	}
	s.onClosed = after
	s.pings = time.AfterFunc(s.client.cfg.PingInterval, s.keepAlive)
}

// acquire takes one of some places when there is one.
func (s *session) acquire(ctx context.Context, end callDeadline, places chan<- struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	ctx, cancel := end.context(ctx)
	defer cancel()
	select {
	case places <- struct{}{}:
		return nil
	case <-s.closing:
		return s.cause
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// framePool has memory for frames that are written.
var framePool = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // it is there to be shared

// send writes one frame. An error means that the server did not get the whole
// frame, hence not the request; the session is dead then.
func (s *session) send(ctx context.Context, end callDeadline, meta *wire.Meta, data *wire.Data) error {
	if err := s.acquire(ctx, end, s.writeLock); err != nil {
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
		s.fail(fmt.Errorf("writing: %w", err))
		return err
	}
	s.client.traffic.framesOut.Add(1)
	return nil
}

// write writes one frame in one write, which Zato's own TLS needs (docs/protocol.md,
// "Session"). What does not fit into the connection's buffer goes out as a prepared
// message, which costs several times as much.
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

// call is exchange for callers that take their turn: it waits for a slot first.
func (s *session) call(ctx context.Context, end callDeadline, meta wire.Meta, data *wire.Data) (result, error) {
	if err := s.acquire(ctx, end, s.pending.slots); err != nil {
		if s.alive() {
			err = fmt.Errorf("no connection was free: %w", err)
		}
		return result{}, notSent(err)
	}
	return s.roundTrip(ctx, end, &meta, data, true)
}

// controlCall is exchange for the session's own requests, which wait for no slot.
func (s *session) controlCall(ctx context.Context, meta wire.Meta, data *wire.Data) (result, error) {
	return s.roundTrip(ctx, callDeadline{}, &meta, data, false)
}

// roundTrip sends a request and waits for its answer. It may hold one of the session's
// slots, which is free then.
func (s *session) roundTrip(
	ctx context.Context, end callDeadline, meta *wire.Meta, data *wire.Data, slot bool,
) (result, error) {
	meta.Token = s.token
	call, err := s.pending.register(meta.ID, end, slot)
	if err != nil {
		return result{}, err
	}
	if err := s.send(ctx, end, meta, data); err != nil {
		s.pending.cancel(meta.ID)
		return result{}, notSent(err)
	}
	return s.pending.wait(ctx, call)
}

// pendingErr says what the end of the session means for a call that waits for its answer.
func (s *session) pendingErr() error {
	var call *CallError
	if errors.As(s.cause, &call) && call.SendStatus == NotSent {
		return s.cause
	}
	return &CallError{Op: "waiting for the answer", Err: fmt.Errorf("%w: %w", ErrConnectionLost, s.cause)}
}

// failIfStalled ends the session when a call that its caller gave up long ago
// still has no answer. None will come: the server closes the connection of a
// service that is slower than about two of its ping intervals (docs/protocol.md,
// "Invoking services").
func (s *session) failIfStalled(limit time.Duration) {
	if s.pending.hasStalled(limit) {
		s.fail(errStalled)
	}
}

// notSent marks an error as one that came before the server got anything.
func notSent(err error) error {
	return &CallError{Op: "sending", SendStatus: NotSent, Err: err}
}

// alive tells whether calls can still succeed.
func (s *session) alive() bool {
	select {
	case <-s.closing:
		return false
	default:
		return true
	}
}
