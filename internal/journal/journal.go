package journal

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Record is one frame.
type Record struct {
	// Source tells where it came from: the topic.
	Source string
	// IDs are those of the messages in Raw that are wanted, which may be fewer than
	// there are.
	IDs []string
	// Messages is how many are wanted, with those that have no id.
	Messages int
	// Raw is the frame as it came. It must not be changed.
	Raw []byte
	// Ack is what Keep returned for the frame, nil where it was not kept.
	Ack func()
	// Recovered tells, of a record that is read again, that an earlier process added
	// it.
	Recovered bool
}

// Options say how a journal is kept.
type Options[T any] struct {
	// Path of the file, which is made if need be.
	Path string
	// MaxSize is how many bytes of frames are kept before Add waits.
	MaxSize int64
	// Sources are those that frames come from, and Remember is how many messages of
	// each are remembered by their ids after they were settled.
	Sources    []string
	DedupLimit int
	// Recover is called by Open with the ids of the newest messages of each source, the
	// oldest first, settled or not, and with what Keep had kept when the process was
	// killed, in order: Source and Raw of each. It returns what is wanted of that. What was
	// kept may be in the file, too; then its ids are among those, however many that makes.
	Recover func(latest map[string][]string, kept []Record) []Record
	// Decode makes the value of a record that was not kept in memory.
	Decode func(Record) (T, error)
	// OnCommit is told, in one goroutine, how long each commit took, its sync included.
	OnCommit func(time.Duration)
	// OnError is told, in the same goroutine, when the file begins to fail and, with nil,
	// when it works again. Meanwhile nothing is lost: Add waits, and what could not
	// be written is tried again every second.
	OnError func(error)
	// OnFull is called, in the same goroutine, when MaxSize is reached, and OnRoom
	// when half of it is free again.
	OnFull, OnResumed func()
}

// memoryLimit is how many bytes of frames are kept in memory: those that wait to be
// written and, once more as much, those that are in the file and wait to be taken. The
// rest is on disk alone and is read again when its turn comes.
const memoryLimit = 8 << 20

// Journal is an open journal of frames whose values are of type T. All methods may
// be called from any goroutine.
type Journal[T any] struct {
	opts      Options[T]
	store     *store
	wal       *wal
	recovered int64 // frames up to this number are an earlier process's
	stopped   chan struct{}
	// dedupIDs is how many messages were settled since the last time that something
	// was forgotten. It belongs to the goroutine that owns the file.
	dedupIDs int
	// walOnly are the frames that are in the spool and not in the file. They belong to the
	// same goroutine.
	walOnly     map[int64]seqRecord
	walOnlySize int64

	// mu guards what follows. It is held for assignments only; waiting is done on
	// cond.
	mu   sync.Mutex
	cond *sync.Cond

	last          int64 // the number of the newest frame
	unwritten     []entry[T]
	unwrittenSize int64
	acked         []acked
	loaded        []entry[T]
	loadedSize    int64
	// lastLoaded is the number of the newest frame that came into ready; spilled is how
	// many follow it on disk.
	lastLoaded int64
	onDisk     int
	unacked    Backlog
	full       bool
	// reportedFull is what was told of full.
	reportedFull bool
	err          error
	closing      bool
}

// Backlog is what is in a journal and was not settled.
type Backlog struct {
	Frames, Messages int
	// Size is in bytes of frames.
	Size int64
}

func (r *Backlog) add(sign int, size int64, messages int) {
	r.Frames += sign
	r.Messages += sign * messages
	r.Size += int64(sign) * size
}

// acked is a frame that is done with.
type acked struct {
	seq      int64
	messages int
}

// entry is a frame in memory.
type entry[T any] struct {
	seq      int64
	size     int64
	messages int
	record   Record // until it is committed
	value    T
}

// Open opens a journal, or makes it. An error names the path and says what to do.
// The end of ctx does not end the journal.
func Open[T any](ctx context.Context, opts Options[T]) (*Journal[T], error) {
	ctx = context.WithoutCancel(ctx)
	f, err := openStore(ctx, opts.Path)
	if err != nil {
		return nil, err
	}
	j := &Journal[T]{opts: opts, store: f, stopped: make(chan struct{}), walOnly: map[int64]seqRecord{}}
	j.cond = sync.NewCond(&j.mu)
	if err := j.start(ctx); err != nil {
		if j.wal != nil {
			j.wal.close()
		}
		_ = f.close()
		return nil, err
	}
	j.recovered, j.onDisk = j.last, j.unacked.Frames
	go j.run(ctx)
	return j, nil
}

// start brings what was kept last into the file, and reads what there is to know of it
// but for its frames.
func (j *Journal[T]) start(ctx context.Context) error {
	spool, left, err := openWAL(j.opts.Path)
	if err != nil {
		return err
	}
	j.wal = spool
	latest := map[string][]string{}
	sources, size := slices.Clone(j.opts.Sources), 0
	for _, r := range left {
		sources = append(sources, r.Source)
		size += len(r.Raw)
	}
	if len(left) > 0 {
		size += walReadyLimit // what a commit may have put behind them that was not kept
	}
	slices.Sort(sources) // each is asked for once
	for _, source := range slices.Compact(sources) {
		if latest[source], err = j.store.latestIDs(ctx, source, j.opts.DedupLimit, size); err != nil {
			return err
		}
	}
	if j.last, _, err = j.store.summary(ctx); err != nil {
		return err
	}
	var recovered []seqRecord
	for _, r := range j.opts.Recover(latest, left) {
		j.last++
		recovered = append(recovered, seqRecord{j.last, &r})
	}
	if err := j.store.commit(ctx, tx{inserted: recovered}); err != nil {
		return err
	}
	if err := spool.reset(); err != nil {
		return err
	}
	if j.last, j.unacked, err = j.store.summary(ctx); err != nil {
		return err
	}
	j.dedupIDs, err = j.store.ackedMessages(ctx)
	return err
}

// Append keeps a frame that was read just now, for the next process if this one is killed
// before Add has brought it further. It returns what says that it need not be kept any
// more, for Record.Release, or to be called where the frame is not wanted; nil where it
// could not be kept. It is as quick as a write to a file, and safe for many goroutines.
func (j *Journal[T]) Append(source string, raw []byte) (release func()) {
	return j.wal.append(source, raw)
}

// Enqueue puts a frame in and returns before it is on disk. While the journal is full,
// or its file fails, or much waits to be written, it waits for that to change,
// until ctx ends; then it takes the frame all the same, for there is nowhere else
// to keep it.
func (j *Journal[T]) Enqueue(ctx context.Context, r Record, value T) {
	stop := context.AfterFunc(ctx, j.wake)
	defer stop()
	size := int64(len(r.Raw))
	j.mu.Lock()
	defer j.mu.Unlock()
	for ctx.Err() == nil && (j.isFull(size) || j.err != nil || j.unwrittenSize >= memoryLimit) {
		j.cond.Wait()
	}
	j.last++
	j.unwritten = append(j.unwritten, entry[T]{seq: j.last, size: size, messages: r.Messages, record: r, value: value})
	j.unwrittenSize += size
	j.unacked.add(1, size, r.Messages)
	j.cond.Broadcast()
}

// Backlog returns what is in the journal and not settled, with what waits to be written.
func (j *Journal[T]) Backlog() Backlog {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.unacked
}

// isFull tells whether there is no room, which there is not until half of it is free
// again. One frame always has room. The mutex is held.
func (j *Journal[T]) isFull(size int64) bool {
	if !j.full && j.unacked.Frames > 0 && j.unacked.Size+size > j.opts.MaxSize {
		j.full = true
		j.cond.Broadcast()
	}
	return j.full
}

// Item is a frame that was taken out.
type Item[T any] struct {
	Value T
	// Ack removes the frame from the journal, soon and once. It does not wait.
	Ack func()
}

// Dequeue takes the oldest frame out, and waits for one until ctx ends.
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

// TryDequeue takes the oldest frame out, if there is one.
func (j *Journal[T]) TryDequeue() (Item[T], bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.loaded) == 0 {
		return Item[T]{}, false
	}
	return j.pop(), true
}

// pop takes the oldest frame out. The mutex is held, and there is one.
func (j *Journal[T]) pop() Item[T] {
	e := j.loaded[0]
	j.loaded[0] = entry[T]{}
	j.loaded = j.loaded[1:]
	j.loadedSize -= e.size
	j.cond.Broadcast()
	return Item[T]{
		Value: e.value,
		Ack:   sync.OnceFunc(func() { j.settle(e.seq, e.size, e.messages) }),
	}
}

func (j *Journal[T]) settle(number, size int64, messages int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unacked.add(-1, size, messages)
	j.acked = append(j.acked, acked{number, messages})
	j.full = j.full && 2*j.unacked.Size > j.opts.MaxSize
	j.cond.Broadcast()
}

func (j *Journal[T]) wake() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cond.Broadcast()
}

// Close writes what waits and closes the file. It returns what stays for the next
// start, and what could neither be written nor had been kept, and is lost. What is
// settled after Close is there again at the next start.
func (j *Journal[T]) Close() (kept, lost Backlog, err error) {
	j.mu.Lock()
	j.closing = true
	j.cond.Broadcast()
	j.mu.Unlock()
	<-j.stopped
	j.wal.close()
	j.wal.removeIfEmpty()
	err = j.store.close()
	j.mu.Lock()
	defer j.mu.Unlock()
	kept = j.unacked
	for _, e := range j.unwritten {
		if e.record.Ack != nil {
			continue // it was kept
		}
		lost.add(1, e.size, e.messages)
		kept.add(-1, e.size, e.messages)
	}
	if err == nil {
		err = j.err
	}
	return kept, lost, err
}
