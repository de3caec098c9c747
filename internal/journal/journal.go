package journal

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Record is one frame of the journal.
type Record struct {
	// Source is the topic that the frame is from.
	Source string
	// IDs are the ids of the messages in Raw that are to be delivered. Raw may contain
	// more messages.
	IDs []string
	// Messages is how many messages are to be delivered, including those without an id.
	Messages int
	// Raw is the frame as it was received. It must not be changed.
	Raw []byte
	// Ack is the function that Append returned for the frame. It is nil if the frame is
	// not in the write-ahead log.
	Ack func()
	// Recovered reports whether an earlier process received the frame. It is set for
	// records that Options.Decode gets.
	Recovered bool
}

// inWAL reports whether the write-ahead log holds the frame.
func (r *Record) inWAL() bool { return r.Ack != nil }

// Options configure a journal.
type Options[T any] struct {
	// Path is the path of the store. It is created if it does not exist. The segments of
	// the write-ahead log are next to it.
	Path string
	// MaxSize is how many bytes of frames the journal holds before Enqueue blocks.
	MaxSize int64
	// Sources are the topics of this run.
	Sources []string
	// DedupLimit is the number of acknowledged messages of each source whose ids the
	// journal keeps.
	DedupLimit int
	// Recover decides which frames of the write-ahead log are delivered again. Open calls
	// it with the frames that were not acknowledged when the process was killed, in order,
	// each with its Source and Raw. Open also passes the ids of the newest messages of each
	// source in the store, acknowledged or not, oldest first. A frame of the log can be in
	// the store too. Its ids are then among them, even if they exceed DedupLimit.
	Recover func(latest map[string][]string, unacked []Record) []Record
	// Decode turns a record from the store back into a value.
	Decode func(Record) (T, error)
	// The writer calls the following functions, one at a time.

	// OnCommit is called with the duration of each commit, including its sync.
	OnCommit func(time.Duration)
	// OnError is called when a read or a write fails, and with nil when the writer has
	// recovered. The same error is reported once. Nothing is lost in between: Enqueue
	// blocks, and the writer tries again every second.
	OnError func(error)
	// OnFull is called when the journal reaches MaxSize.
	OnFull func()
	// OnResumed is called when half of MaxSize is free again.
	OnResumed func()
}

// memoryLimit bounds the frames in memory, in bytes: those that wait to be written, and
// separately those from the store that wait to be dequeued. The others are only on disk
// and are loaded when their turn comes.
const memoryLimit = 8 << 20

// Journal is an open journal. T is the type of the decoded frames. The methods are safe for
// concurrent use.
type Journal[T any] struct {
	opts  Options[T]
	store *store
	wal   *wal
	// recoveredSeq is the sequence number of the newest frame that an earlier process received.
	recoveredSeq int64
	stopped      chan struct{} // closed when the writer has stopped

	// The writer owns the following fields.

	// walOnly holds the frames that are in the log and not in the store.
	walOnly     map[int64]seqRecord
	walOnlySize int64
	// ackedSincePrune counts the messages that were acknowledged since their ids were last
	// pruned. It starts with all acknowledged messages whose ids the store has.
	ackedSincePrune int

	// mu guards the following fields. It is held for assignments only, never during I/O
	// or a callback. cond is signalled whenever one of the fields changes.
	mu   sync.Mutex
	cond *sync.Cond

	lastSeq int64 // of the newest frame
	// unwritten holds the frames that the writer has not made durable yet.
	unwritten     []entry[T]
	unwrittenSize int64
	// loaded holds the frames that can be dequeued.
	loaded     []entry[T]
	loadedSize int64
	// lastLoaded is the sequence number of the newest frame that was ever in loaded.
	// storeOnly is how many newer frames the store holds.
	lastLoaded int64
	storeOnly  int
	// acked holds the acknowledged frames that the writer has not removed yet.
	acked   []ackedFrame
	unacked Backlog
	// full is set at MaxSize and cleared when half of that is free. reportedFull is the
	// value that the callbacks reported last.
	full, reportedFull bool
	err                error // why the last round of the writer failed
	closing            bool
}

// Backlog counts the frames in a journal that are not acknowledged.
type Backlog struct {
	Frames, Messages int
	// Size is in bytes.
	Size int64
}

func (b *Backlog) add(size int64, messages int) {
	b.Frames++
	b.Messages += messages
	b.Size += size
}

func (b *Backlog) remove(size int64, messages int) {
	b.Frames--
	b.Messages -= messages
	b.Size -= size
}

// ackedFrame is a frame that was acknowledged.
type ackedFrame struct {
	seq      int64
	messages int
}

// entry is a frame in memory.
type entry[T any] struct {
	seq      int64
	size     int64
	messages int
	record   Record // only while it is unwritten
	value    T
}

// Open opens or creates a journal. An error names the path and says what to do. The
// journal stays open after ctx ends, until Close.
func Open[T any](ctx context.Context, opts Options[T]) (*Journal[T], error) {
	ctx = context.WithoutCancel(ctx)
	s, err := openStore(ctx, opts.Path)
	if err != nil {
		return nil, err
	}
	j := &Journal[T]{opts: opts, store: s, stopped: make(chan struct{}), walOnly: map[int64]seqRecord{}}
	j.cond = sync.NewCond(&j.mu)
	if err := j.recover(ctx); err != nil {
		if j.wal != nil {
			j.wal.close()
		}
		_ = s.close()
		return nil, err
	}
	j.recoveredSeq, j.storeOnly = j.lastSeq, j.unacked.Frames
	go j.run(ctx)
	return j, nil
}

// recover replays the log into the store, truncates it, and counts the frames in the
// store. If the process is killed between the commit and the truncation, the next one
// finds the same frames in the log and in the store, and knows them from their ids.
func (j *Journal[T]) recover(ctx context.Context) error {
	w, unacked, err := openWAL(j.opts.Path)
	if err != nil {
		return err
	}
	j.wal = w
	latest, err := j.latestIDs(ctx, unacked)
	if err != nil {
		return err
	}
	if j.lastSeq, _, err = j.store.summary(ctx); err != nil {
		return err
	}
	var recovered []seqRecord
	for _, r := range j.opts.Recover(latest, unacked) {
		j.lastSeq++
		recovered = append(recovered, seqRecord{j.lastSeq, &r})
	}
	if err := j.store.commit(ctx, tx{inserted: recovered}); err != nil {
		return err
	}
	if err := w.reset(); err != nil {
		return err
	}
	if j.lastSeq, j.unacked, err = j.store.summary(ctx); err != nil {
		return err
	}
	j.ackedSincePrune, err = j.store.ackedMessages(ctx)
	return err
}

// latestIDs returns the ids in the store that a frame of the log can have.
func (j *Journal[T]) latestIDs(ctx context.Context, unacked []Record) (map[string][]string, error) {
	sources, size := slices.Clone(j.opts.Sources), 0
	for _, r := range unacked {
		sources = append(sources, r.Source)
		size += len(r.Raw)
	}
	if len(unacked) > 0 {
		// The process may have been killed after a checkpoint, before the log recorded it.
		// Then all frames of the log are in the store, followed by frames of the same commit
		// that never were in the log.
		size += walReadyLimit
	}
	slices.Sort(sources)
	latest := map[string][]string{}
	var err error
	for _, source := range slices.Compact(sources) {
		if latest[source], err = j.store.latestIDs(ctx, source, j.opts.DedupLimit, size); err != nil {
			return nil, err
		}
	}
	return latest, nil
}

// Append writes a frame to the write-ahead log, so that the next process finds it if this
// one is killed before Enqueue has made it durable. It costs a write to a file, without a
// sync.
//
// The function that it returns acknowledges the frame. Pass it to Enqueue in Record.Ack,
// or call it if the frame is not to be enqueued. Append returns nil if the frame could not
// be written. Enqueue the frame all the same: the writer inserts it into the store.
func (j *Journal[T]) Append(source string, raw []byte) (ack func()) {
	return j.wal.append(source, raw)
}

// Enqueue adds a frame to the end of the queue. It returns before the frame is durable.
//
// Enqueue blocks while the journal is full, while its files fail, or while many frames
// wait to be written. When ctx ends, it adds the frame regardless, because the caller has
// no other place for it.
func (j *Journal[T]) Enqueue(ctx context.Context, r Record, value T) {
	stop := context.AfterFunc(ctx, j.wake)
	defer stop()
	size := int64(len(r.Raw))
	j.mu.Lock()
	defer j.mu.Unlock()
	for ctx.Err() == nil && (j.isFull(size) || j.err != nil || j.unwrittenSize >= memoryLimit) {
		j.cond.Wait()
	}
	j.lastSeq++
	j.unwritten = append(j.unwritten, entry[T]{seq: j.lastSeq, size: size, messages: r.Messages, record: r, value: value})
	j.unwrittenSize += size
	j.unacked.add(size, r.Messages)
	j.cond.Broadcast()
}

// Backlog returns the number of frames that are not acknowledged, including those that
// wait to be written.
func (j *Journal[T]) Backlog() Backlog {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.unacked
}

// isFull reports whether there is no space for another frame of this size. Once it is
// true, it stays true until half of MaxSize is free. An empty journal always has space for
// one frame. The caller holds the mutex.
func (j *Journal[T]) isFull(size int64) bool {
	if !j.full && j.unacked.Frames > 0 && j.unacked.Size+size > j.opts.MaxSize {
		j.full = true
		j.cond.Broadcast()
	}
	return j.full
}

// Item is a frame that was dequeued.
type Item[T any] struct {
	Value T
	// Ack acknowledges the frame: the writer then removes it from the journal. Ack does
	// not block, and only the first call has an effect.
	Ack func()
}

// Dequeue returns the oldest frame. It blocks until there is one or ctx ends.
func (j *Journal[T]) Dequeue(ctx context.Context) (Item[T], error) {
	stop := context.AfterFunc(ctx, j.wake)
	defer stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.loaded) == 0 && ctx.Err() == nil {
		j.cond.Wait()
	}
	if ctx.Err() != nil {
		return Item[T]{}, context.Cause(ctx)
	}
	return j.pop(), nil
}

// TryDequeue returns the oldest frame, or false if none is ready. It does not block.
func (j *Journal[T]) TryDequeue() (Item[T], bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.loaded) == 0 {
		return Item[T]{}, false
	}
	return j.pop(), true
}

// pop removes the oldest frame from loaded, which must not be empty. The caller holds
// the mutex.
func (j *Journal[T]) pop() Item[T] {
	e := j.loaded[0]
	j.loaded[0] = entry[T]{}
	j.loaded = j.loaded[1:]
	j.loadedSize -= e.size
	j.cond.Broadcast()
	return Item[T]{
		Value: e.value,
		Ack:   sync.OnceFunc(func() { j.ack(e.seq, e.size, e.messages) }),
	}
}

func (j *Journal[T]) ack(seq, size int64, messages int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unacked.remove(size, messages)
	j.acked = append(j.acked, ackedFrame{seq, messages})
	j.full = j.full && 2*j.unacked.Size > j.opts.MaxSize
	j.cond.Broadcast()
}

func (j *Journal[T]) wake() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cond.Broadcast()
}

// Close writes the remaining frames to the store and closes the files. It returns the
// frames that stay for the next start, and those that are lost because neither the store
// nor the log has them. Frames that are acknowledged after Close are delivered again at
// the next start.
func (j *Journal[T]) Close() (left, lost Backlog, err error) {
	j.mu.Lock()
	j.closing = true
	j.cond.Broadcast()
	j.mu.Unlock()
	<-j.stopped
	j.wal.close()
	j.wal.removeIfUnused()
	err = j.store.close()
	j.mu.Lock()
	defer j.mu.Unlock()
	left = j.unacked
	for i := range j.unwritten {
		e := &j.unwritten[i]
		if e.record.inWAL() {
			continue
		}
		lost.add(e.size, e.messages)
		left.remove(e.size, e.messages)
	}
	if err == nil {
		err = j.err
	}
	return left, lost, err
}
