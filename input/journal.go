package input

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/zato-connect/zato-connect/internal/journal"
	"github.com/zato-connect/zato-connect/internal/recent"
	"github.com/zato-connect/zato-connect/wsx"
)

// openJournal opens the journal if one is configured and not open yet. After an error it can be called again.
func (in *input) openJournal(ctx context.Context) error {
	if in.journal != nil || in.journalPath == "" {
		return nil
	}
	j, err := journal.Open(ctx, journal.Options[acceptedFrame]{
		Path: in.journalPath, MaxSize: int64(in.journalSize), Sources: in.topics(), DedupLimit: recent.DefaultLimit,
		Recover: in.restoreUnflushed, Decode: fromRecord,
		OnCommit: in.reportCommit, OnError: in.reportError, OnFull: in.reportFull, OnResumed: in.reportResumed,
	})
	if err != nil {
		return fmt.Errorf("field %s.%s: %w", fieldJournal, fieldPath, err)
	}
	in.journal = j
	return nil
}

// topics returns the configured topics.
func (in *input) topics() []string {
	var out []string
	for _, sub := range in.subscriptions {
		out = append(out, sub.Topic)
	}
	return out
}

// persister returns a function that appends a frame of a topic to the journal as soon as it is read. It returns nil
// without a journal. The function may be called once the journal is open, which it is before any subscription.
func (in *input) persister(topic string) func(raw []byte) (release func()) {
	if in.journalPath == "" {
		return nil
	}
	return func(raw []byte) func() { return in.journal.Append(topic, raw) }
}

// toRecord returns the journal's record of an accepted frame.
func (s *pushed) toRecord(f *acceptedFrame, frame *wsx.Frame) journal.Record {
	record := journal.Record{Source: s.sub.Topic, IDs: f.ids, Messages: len(f.messages), Raw: frame.Raw}
	if frame.Persisted() {
		record.Ack = frame.Done
	}
	return record
}

// fromRecord restores an accepted frame from its record.
func fromRecord(record journal.Record) (acceptedFrame, error) {
	var f acceptedFrame
	frame, err := wsx.ParseFrame(record.Raw)
	if err != nil {
		return f, err
	}
	accepted := make(map[string]bool, len(record.IDs))
	for _, id := range record.IDs {
		accepted[id] = true
	}
	for i := range frame.Messages {
		m := &frame.Messages[i]
		if m.MsgID != "" && !accepted[m.MsgID] {
			continue // a duplicate
		}
		delete(accepted, m.MsgID)
		f.messages = append(f.messages, message{m, record.Recovered})
	}
	if len(f.messages) == 0 {
		return f, errors.New("the record lists none of the messages in its frame")
	}
	return f, nil
}

// restoreUnflushed returns records of the frames that an earlier process had read and not moved into the journal
// when it was killed. latest has the ids of the newest messages in the journal, by topic: these become known, so that
// the frames' duplicates are dropped. No id is forgotten before all frames are compared.
func (in *input) restoreUnflushed(latest map[string][]string, unflushed []journal.Record) []journal.Record {
	subscribers := map[string]*pushed{}
	for topic, ids := range latest {
		s := in.subscriberOf(topic)
		s.seen = recent.New(math.MaxInt, ids...) // an earlier attempt to open the journal may have filled it
		subscribers[topic] = s
	}
	var out []journal.Record
	for _, record := range unflushed {
		frame, err := wsx.ParseFrame(record.Raw)
		if err != nil {
			continue // the client reported the broken frame when it read it
		}
		s := subscribers[record.Source]
		if f := s.filterFrame(&frame); len(f.messages) > 0 {
			s.countReceived(&f)
			out = append(out, s.toRecord(&f, &frame))
		}
	}
	for _, s := range subscribers {
		s.seen = recent.New(recent.DefaultLimit, s.seen.All()...)
	}
	return out
}

// subscriberOf returns the subscriber of a topic. For a topic that is not configured, whose messages an earlier
// process left, it returns one that only filters.
func (in *input) subscriberOf(topic string) *pushed {
	for _, s := range in.subscribers {
		if s.sub.Topic == topic {
			return s.pushed
		}
	}
	return &pushed{subscriber: &subscriber{in: in, sub: wsx.Subscription{Topic: topic}}}
}

// readJournal sends what is in the journal to the pipeline until the input is closed.
func (in *input) readJournal() {
	for {
		item, err := in.journal.Dequeue(in.ctx)
		if err != nil || !in.enqueue(in.coalesceJournal(item)) {
			return // what was not taken stays in the journal
		}
	}
}

// coalesceJournal makes one batch of a frame from the journal and of those behind it.
func (in *input) coalesceJournal(item journal.Item[acceptedFrame]) *batch {
	f, acks := item.Value, []func(){item.Ack}
	for !in.respond && len(f.messages) < coalesceLimit {
		next, ok := in.journal.TryDequeue()
		if !ok {
			break
		}
		f.messages = append(f.messages, next.Value.messages...)
		acks = append(acks, next.Ack)
	}
	return &batch{acceptedFrame: f, settle: in.inFlight.add(f.messages, func() {
		for _, ack := range acks {
			ack()
		}
	})}
}

func (in *input) reportCommit(took time.Duration) {
	in.metrics.commitLatency.Timing(took.Nanoseconds())
}

func (in *input) reportError(err error) {
	if err == nil {
		in.log.Info("The journal works again.")
		return
	}
	in.log.Errorf("The journal failed, so nothing is read from Zato until it works again; it has lost nothing: %v", err)
}

func (in *input) reportFull() {
	in.log.Warnf("The journal is full: it holds %d bytes, the limit of %s.%s. Nothing is read from Zato until the "+
		"pipeline has taken half of them. If this process is killed meanwhile, messages that Zato has sent and this "+
		"process has not read are lost", in.journalSize, fieldJournal, fieldMaxSize)
}

func (in *input) reportResumed() { in.log.Info("The journal has free space again.") }

// closeJournal closes the journal. It logs how many messages stay in it, and how many could not be written.
func (in *input) closeJournal() {
	kept, lost, err := in.journal.Close()
	if err != nil {
		in.log.Errorf("Could not close the journal cleanly: %v", err)
	}
	if lost.Messages > 0 {
		in.log.Errorf("%d messages were read from Zato and could not be written to the journal: they are lost", lost.Messages)
	}
	if kept.Messages > 0 {
		in.log.Infof("%d messages stay in the journal for the next start.", kept.Messages)
	}
}
