package input

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/zato-connect/zato-connect/internal/journal"
	"github.com/zato-connect/zato-connect/wsx"
)

// message is a message that is wanted.
type message struct {
	*wsx.Message

	replayed bool // from the journal of an earlier process
}

// acceptedFrame is what is wanted of a frame.
type acceptedFrame struct {
	messages []message
	ids      []string // for the journal
	// respond sends Zato a response, where one is wanted and can be sent.
	respond func(context.Context, *service.SyncResponseStore)
}

// filterFrame takes what is wanted of a frame: what is no repeat.
func (in *input) filterFrame(r *subscriber, frame *wsx.Frame) acceptedFrame {
	var d acceptedFrame
	in.filterInto(r, frame, &d)
	if in.respond && len(frame.Messages) == 1 {
		d.respond = in.responder(r, *frame)
	}
	return d
}

// filterInto adds the messages of a frame that are no repeats to a delivery.
func (in *input) filterInto(r *subscriber, frame *wsx.Frame, d *acceptedFrame) {
	d.messages = slices.Grow(d.messages, len(frame.Messages))
	for i := range frame.Messages {
		m := &frame.Messages[i]
		if r.dedup.isDuplicate(m.MsgID) {
			in.metrics.duplicates.Incr(1, r.sub.Topic)
			continue
		}
		d.messages = append(d.messages, message{Message: m})
		if in.journalPath != "" && m.MsgID != "" {
			d.ids = append(d.ids, m.MsgID)
		}
	}
}

// count counts messages that are wanted.
func (in *input) count(r *subscriber, d *acceptedFrame) {
	in.metrics.received.Incr(int64(len(d.messages)), r.sub.Topic)
}

// maxBatch is how many messages a batch has to which no more frames are added. Zato
// sends as many in a frame.
const maxBatch = 500

// coalesceStep is how many messages are taken at once for it. Each time costs, and to take
// more holds up what reads them.
const coalesceStep = 8

// coalesce adds the frames that have arrived meanwhile, for a batch of one message costs
// the engine several times what one of many costs for each. Nothing is waited for.
func (in *input) coalesce(r *subscriber, d *acceptedFrame) {
	for len(d.messages) < maxBatch {
		r.scratch = r.client.TryReceive(r.scratch[:0], min(coalesceStep, maxBatch-len(d.messages)))
		if len(r.scratch) == 0 {
			return
		}
		for i := range r.scratch {
			in.filterInto(r, &r.scratch[i], d)
		}
		clear(r.scratch)
	}
}

// forward gives a frame to the pipeline, by way of the journal where there is one. It
// returns false when the input was closed before somebody took it: then the journal
// has it, or the ledger.
func (in *input) forward(r *subscriber, frame *wsx.Frame) bool {
	d := in.filterFrame(r, frame)
	switch {
	case len(d.messages) == 0:
		frame.Done()
		return true
	case in.journal != nil:
		in.count(r, &d)
		in.journal.Enqueue(in.ctx, d.toRecord(r, frame), d)
		return true
	}
	if !in.respond { // else each message has its own response
		in.coalesce(r, &d)
	}
	in.count(r, &d)
	return in.enqueue(&batch{acceptedFrame: d, settle: in.inFlight.add(len(d.messages))})
}

// enqueue hands a batch to the engine. It returns false when the input was closed
// first.
func (in *input) enqueue(b *batch) bool {
	select {
	case in.batches <- b:
		return true
	case <-in.ctx.Done():
		return false
	}
}

// respondTimeout bounds the sending of a response, in front of which nothing waits
// but a slow connection.
const respondTimeout = time.Second

// responder makes what sends the pipeline's response to a frame.
func (in *input) responder(r *subscriber, frame wsx.Frame) func(context.Context, *service.SyncResponseStore) {
	frame.Raw = nil // which need not be kept for it
	return func(ctx context.Context, responses *service.SyncResponseStore) {
		value, err := reply(responses, nil)
		if err == nil {
			ctx, cancel := context.WithTimeout(ctx, respondTimeout)
			defer cancel()
			err = r.client.Respond(ctx, frame, value)
		}
		if err != nil {
			in.log.Warnf("No response went to Zato: %v", err)
		}
	}
}

// toRecord is a delivery as the journal keeps it.
func (d *acceptedFrame) toRecord(r *subscriber, frame *wsx.Frame) journal.Record {
	record := journal.Record{Source: r.sub.Topic, IDs: d.ids, Messages: len(d.messages), Raw: frame.Raw}
	if frame.Persisted() {
		record.Ack = frame.Done
	}
	return record
}

// fromRecord makes a delivery of a record again.
func fromRecord(record journal.Record) (acceptedFrame, error) {
	var d acceptedFrame
	frame, err := wsx.ParseFrame(record.Raw)
	if err != nil {
		return d, err
	}
	wanted := make(map[string]bool, len(record.IDs))
	for _, id := range record.IDs {
		wanted[id] = true
	}
	for i := range frame.Messages {
		m := &frame.Messages[i]
		if m.MsgID != "" && !wanted[m.MsgID] {
			continue // a repeat
		}
		delete(wanted, m.MsgID)
		d.messages = append(d.messages, message{m, record.Recovered})
	}
	if len(d.messages) == 0 {
		return d, errors.New("none of its messages is wanted")
	}
	return d, nil
}

// openJournal opens the journal, where there is to be one, the first time that this
// is possible.
func (in *input) openJournal(ctx context.Context) error {
	if in.journal != nil || in.journalPath == "" {
		return nil
	}
	j, err := journal.Open(ctx, journal.Options[acceptedFrame]{
		Path: in.journalPath, MaxSize: int64(in.journalSize), Sources: in.topics(), DedupLimit: dedupLimit,
		Recover: in.restoreUnflushed, Decode: fromRecord,
		OnCommit: in.reportCommit, OnError: in.reportFault, OnFull: in.reportFull, OnResumed: in.reportRoom,
	})
	if err != nil {
		return fmt.Errorf("field %s.%s: %w", fieldJournal, fieldPath, err)
	}
	in.journal = j
	in.running.Go(in.readJournal)
	return nil
}

// persister returns what keeps the frames of a topic from the moment they are read, nil
// where there is no journal. It is used from the first subscription on, when the
// journal is open.
func (in *input) persister(topic string) func(raw []byte) (release func()) {
	if in.journalPath == "" {
		return nil
	}
	return func(raw []byte) func() { return in.journal.Append(topic, raw) }
}

// restoreUnflushed makes records of the frames that an earlier process had read last, and counts
// what is in the journal as seen. Until all of them are told apart, no id is forgotten.
func (in *input) restoreUnflushed(latest map[string][]string, kept []journal.Record) []journal.Record {
	readers := map[string]*subscriber{}
	for topic, ids := range latest {
		r := in.subscriber(topic)
		r.dedup = dedupOf(math.MaxInt, ids) // anew, for this may be another attempt
		readers[topic] = r
	}
	var wanted []journal.Record
	for _, record := range kept {
		frame, err := wsx.ParseFrame(record.Raw)
		if err != nil {
			continue // it was broken when it came, and that was said then
		}
		r := readers[record.Source]
		if d := in.filterFrame(r, &frame); len(d.messages) > 0 {
			in.count(r, &d)
			wanted = append(wanted, d.toRecord(r, &frame))
		}
	}
	for _, r := range readers {
		r.dedup = dedupOf(dedupLimit, r.dedup.ring)
	}
	return wanted
}

// subscriber returns the reader of a topic, one for nothing else if it is not received any
// more.
func (in *input) subscriber(topic string) *subscriber {
	for _, r := range in.subscribers {
		if r.sub.Topic == topic {
			return r
		}
	}
	return &subscriber{sub: wsx.Subscription{Topic: topic}}
}

// topics are those that are received.
func (in *input) topics() []string {
	var out []string
	for _, sub := range in.subscriptions {
		out = append(out, sub.Topic)
	}
	return out
}

// readJournal gives what is in the journal to the pipeline.
func (in *input) readJournal() {
	for {
		taken, err := in.journal.Dequeue(in.ctx)
		if err != nil || !in.enqueue(in.coalesceJournal(taken)) {
			return // it stays in the journal
		}
	}
}

// coalesceJournal makes a batch of a frame from the journal and of those that wait behind it.
func (in *input) coalesceJournal(taken journal.Item[acceptedFrame]) *batch {
	d, settles := taken.Value, []func(){taken.Ack}
	for !in.respond && len(d.messages) < maxBatch {
		more, ok := in.journal.TryDequeue()
		if !ok {
			break
		}
		d.messages = append(d.messages, more.Value.messages...)
		settles = append(settles, more.Ack)
	}
	return &batch{acceptedFrame: d, settle: func() {
		for _, settle := range settles {
			settle()
		}
	}}
}

func (in *input) reportCommit(took time.Duration) {
	in.metrics.commitLatency.Timing(took.Nanoseconds())
}

func (in *input) reportFault(err error) {
	if err == nil {
		in.log.Info("The journal works again.")
		return
	}
	in.log.Errorf("Nothing more is read from Zato until the journal works again; nothing in it is lost: %v", err)
}

func (in *input) reportFull() {
	in.log.Warnf("The journal holds %s.%s bytes, so nothing more is read from Zato until the pipeline has taken half "+
		"of them. What Zato has sent and nobody has read is lost if this process is killed", fieldJournal, fieldMaxSize)
}

func (in *input) reportRoom() { in.log.Info("The journal has room again.") }

// closeJournal says what stays in the journal, and what could not be put there.
func (in *input) closeJournal() {
	if in.journal == nil {
		return
	}
	kept, lost, err := in.journal.Close()
	if err != nil {
		in.log.Errorf("The journal could not be closed as it should: %v", err)
	}
	if lost.Messages > 0 {
		in.log.Errorf("%d messages were read from Zato and could not be written to the journal: they are lost", lost.Messages)
	}
	if kept.Messages > 0 {
		in.log.Infof("%d messages stay in the journal for the next start.", kept.Messages)
	}
}
