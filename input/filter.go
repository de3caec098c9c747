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

// acceptedFrame has the messages of a frame that are no duplicates. The messages of further frames may be added.
type acceptedFrame struct {
	messages []message
	ids      []string // of the messages; only for the journal
	// respond sends the pipeline's response to Zato. It is nil if there is none to send.
	respond func(context.Context, *service.SyncResponseStore)
}

// filterFrame returns the messages of a frame that are no duplicates.
func (s *subscriber) filterFrame(frame *wsx.Frame) acceptedFrame {
	var f acceptedFrame
	s.filterInto(&f, frame)
	if s.in.respond && len(frame.Messages) == 1 {
		f.respond = s.responder(*frame)
	}
	return f
}

// filterInto appends the messages of a frame that are no duplicates to f.
func (s *subscriber) filterInto(f *acceptedFrame, frame *wsx.Frame) {
	f.messages = slices.Grow(f.messages, len(frame.Messages))
	for i := range frame.Messages {
		m := &frame.Messages[i]
		if s.dedup.isDuplicate(m.MsgID) {
			s.in.metrics.duplicates.Incr(1, s.sub.Topic)
			continue
		}
		f.messages = append(f.messages, message{Message: m})
		if s.in.journalPath != "" && m.MsgID != "" {
			f.ids = append(f.ids, m.MsgID)
		}
	}
}

// maxBatch is the number of messages from which on coalesce adds no more frames to a batch. It is also the largest
// number that Zato sends in a frame.
const maxBatch = 500

// coalesceStep is how many messages coalesce takes from the client at once. Each call costs time, but taking more
// would delay the goroutine that reads the socket.
const coalesceStep = 8

// coalesce adds the frames that have arrived already. It waits for none. A batch of one message costs the engine
// several times what a message of a large batch costs.
func (s *subscriber) coalesce(f *acceptedFrame) {
	for len(f.messages) < maxBatch {
		s.scratch = s.client.TryReceive(s.scratch[:0], min(coalesceStep, maxBatch-len(f.messages)))
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
// first, the journal keeps them, or inFlight has counted them.
func (s *subscriber) forward(frame *wsx.Frame) {
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
	in.enqueue(&batch{acceptedFrame: f, settle: in.inFlight.add(f.messages)})
}

func (s *subscriber) countReceived(f *acceptedFrame) {
	s.in.metrics.received.Incr(int64(len(f.messages)), s.sub.Topic)
}

// enqueue hands a batch to ReadBatch. It reports whether ReadBatch took it before the input was closed.
func (in *input) enqueue(b *batch) bool {
	select {
	case in.batches <- b:
		return true
	case <-in.ctx.Done():
		return false
	}
}

// respondTimeout bounds the sending of a response, which waits for nothing but a slow connection.
const respondTimeout = time.Second

// responder returns a function that sends the pipeline's response to a frame.
func (s *subscriber) responder(frame wsx.Frame) func(context.Context, *service.SyncResponseStore) {
	frame.Raw = nil // not needed for the response, so let it be collected
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
