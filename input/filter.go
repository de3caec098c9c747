package input

import (
	"context"
	"slices"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/wsx"
)

// message is a message for the pipeline.
type message struct {
	*wsx.Message

	replayed bool // an earlier process left it in the journal
}

// acceptedFrame has the messages of a frame without the duplicates. Coalescing adds the messages of further frames.
type acceptedFrame struct {
	messages []message
	ids      []string // the ids of the messages; set only for the journal
	// respond sends the pipeline's response to Zato. It is nil if Zato gets no response to this frame.
	respond func(context.Context, *service.SyncResponseStore)
}

// filterFrame returns the messages of a frame without the duplicates.
func (s *pushed) filterFrame(frame *wsx.Frame) acceptedFrame {
	var f acceptedFrame
	s.filterInto(&f, frame)
	if s.in.respond && len(frame.Messages) == 1 {
		f.respond = s.responder(*frame)
	}
	return f
}

// filterInto appends the messages of a frame to f, except the duplicates.
func (s *pushed) filterInto(f *acceptedFrame, frame *wsx.Frame) {
	f.messages = slices.Grow(f.messages, len(frame.Messages))
	for i := range frame.Messages {
		m := &frame.Messages[i]
		if !s.seen.Add(m.MsgID) {
			s.countDuplicate()
			continue
		}
		f.messages = append(f.messages, message{Message: m})
		if s.in.journalPath != "" && m.MsgID != "" {
			f.ids = append(f.ids, m.MsgID)
		}
	}
}

// coalesceLimit is the number of messages at which a batch gets no further frames. The last frame may exceed it. Zato
// sends at most this number of messages in a frame.
const coalesceLimit = 500

// coalesceStep is the number of messages that coalesce takes from the client in one call. Fewer would cost more calls.
// More would keep the client's inbox locked for longer, which delays the goroutine that reads the socket.
const coalesceStep = 8

// coalesce adds the frames behind f that have arrived, without waiting. For the engine, a batch of one message costs
// several times as much as a message in a large batch.
func (s *pushed) coalesce(f *acceptedFrame) {
	for len(f.messages) < coalesceLimit {
		s.scratch = s.client.TryReceive(s.scratch[:0], min(coalesceStep, coalesceLimit-len(f.messages)))
		if len(s.scratch) == 0 {
			return
		}
		for i := range s.scratch {
			s.filterInto(f, &s.scratch[i])
		}
		clear(s.scratch)
	}
}

// forward sends the messages of a frame to the pipeline, through the journal if there is one. If the input is closed
// before the pipeline takes them, they stay in the journal. Without a journal, they are lost, and inFlight counts them.
func (s *pushed) forward(frame *wsx.Frame) {
	in := s.in
	f := s.filterFrame(frame)
	switch {
	case len(f.messages) == 0:
		frame.Done()
		return
	case in.journal != nil:
		s.countReceived(&f)
		in.journal.Enqueue(in.ctx, s.toRecord(&f, frame), f)
		return
	}
	if !in.respond { // each response needs a batch of its own
		s.coalesce(&f)
	}
	s.countReceived(&f)
	in.enqueue(&batch{acceptedFrame: f, settle: in.inFlight.add(f.messages, func() {})})
}

func (s *subscriber) countReceived(f *acceptedFrame) {
	s.in.metrics.received.Incr(int64(len(f.messages)), s.sub.Topic)
}

func (s *subscriber) countDuplicate() { s.in.metrics.duplicates.Incr(1, s.sub.Topic) }

// enqueue hands a batch to ReadBatch. It reports whether ReadBatch took it before the input was closed.
func (in *input) enqueue(b *batch) bool {
	select {
	case in.batches <- b:
		return true
	case <-in.ctx.Done():
		return false
	}
}

// respondTimeout bounds the sending of a response. Zato does not confirm it, so only a slow connection takes time.
const respondTimeout = time.Second

// responder returns a function that sends the pipeline's response to a frame.
func (s *pushed) responder(frame wsx.Frame) func(context.Context, *service.SyncResponseStore) {
	frame.Raw = nil // the response does not need it, and it would stay in memory
	return func(ctx context.Context, responses *service.SyncResponseStore) {
		value, err := reply(responses, nil)
		if err == nil {
			ctx, cancel := context.WithTimeout(ctx, respondTimeout)
			defer cancel()
			err = s.client.Respond(ctx, frame, value)
		}
		if err != nil && s.failedResponses.Allow() {
			s.log().Warnf("Could not send a response to Zato: %v", err)
		}
	}
}
