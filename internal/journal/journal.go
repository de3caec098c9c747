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
	// Release is what Keep returned for the frame, nil where it was not kept.
	Release func()
	// Leftover tells, of a record that is read again, that an earlier process added
	// it.
	Leftover bool
}

// Options say how a journal is kept.
type Options[T any] struct {
	// Path of the file, which is made if need be.
	Path string
	// MaxSize is how many bytes of frames are kept before Add waits.
	MaxSize int64
	// Sources are those that frames come from, and Remember is how many messages of
	// each are remembered by their ids after they were settled.
	Sources  []string
	Remember int
	// Recover is called by Open with the ids of the newest messages of each source, the
	// oldest first, settled or not, and with what Keep had kept when the process was
	// killed, in order: Source and Raw of each. It returns what is wanted of that. What was
	// kept may be in the file, too; then its ids are among those, however many that makes.
	Recover func(latest map[string][]string, kept []Record) []Record
	// Decode makes the value of a record that was not kept in memory.
	Decode func(Record) (T, error)
	// OnCommit is told, in one goroutine, how long each commit took, its sync included.
	OnCommit func(time.Duration)
	// OnFault is told, in the same goroutine, when the file begins to fail and, with nil,
	// when it works again. Meanwhile nothing is lost: Add waits, and what could not
	// be written is tried again every second.
	OnFault func(error)
	// OnFull is called, in the same goroutine, when MaxSize is reached, and OnRoom
	// when half of it is free again.
	OnFull, OnRoom func()
}

// window is how many bytes of frames are kept in memory: those that wait to be
// written and, once more as much, those that are in the file and wait to be taken. The
// rest is on disk alone and is read again when its turn comes.
const window = 8 << 20

// Journal is an open journal of frames whose values are of type T. All methods may
// be called from any goroutine.
type Journal[T any] struct {
	opts     Options[T]
	file     *file
	spool    *spool
	leftover int64 // frames up to this number are an earlier process's
	stopped  chan struct{}
	// remembered is how many messages were settled since the last time that something
	// was forgotten. It belongs to the goroutine that owns the file.
	remembered int
	// light are the frames that are in the spool and not in the file. They belong to the
	// same goroutine.
	light     map[int64]numbered
	lightSize int64

	// mu guards what follows. It is held for assignments only; waiting is done on
	// cond.
	mu   sync.Mutex
	cond *sync.Cond

	last      int64 // the number of the newest frame
	adding    []entry[T]
	addSize   int64
	settled   []settlement
	ready     []entry[T]
	readySize int64
	// reached is the number of the newest frame that came into ready; spilled is how
	// many follow it on disk.
	reached int64
	spilled int
	kept    Remains
	full    bool
	// fullTold is what was told of full.
	fullTold bool
	fault    error
	closing  bool
}

// Remains is what is in a journal and was not settled.
type Remains struct {
	Frames, Messages int
	// Size is in bytes of frames.
	Size int64
}

func (r *Remains) add(sign int, size int64, messages int) {
	r.Frames += sign
	r.Messages += sign * messages
	r.Size += int64(sign) * size
}

// settlement is a frame that is done with.
type settlement struct {
	number   int64
	messages int
}

// entry is a frame in memory.
type entry[T any] struct {
	number   int64
	size     int64
	messages int
	record   Record // until it is committed
	value    T
}

// Open opens a journal, or makes it. An error names the path and says what to do.
// The end of ctx does not end the journal.
func Open[T any](ctx context.Context, opts Options[T]) (*Journal[T], error) {
	ctx = context.WithoutCancel(ctx)
	f, err := openFile(ctx, opts.Path)
	if err != nil {
		return nil, err
	}
	j := &Journal[T]{opts: opts, file: f, stopped: make(chan struct{}), light: map[int64]numbered{}}
	j.cond = sync.NewCond(&j.mu)
	if err := j.start(ctx); err != nil {
		if j.spool != nil {
			j.spool.close()
		}
		_ = f.close()
		return nil, err
	}
	j.leftover, j.spilled = j.last, j.kept.Frames
	go j.run(ctx)
	return j, nil
}

// start brings what was kept last into the file, and reads what there is to know of it
// but for its frames.
func (j *Journal[T]) start(ctx context.Context) error {
	spool, left, err := openSpool(j.opts.Path)
	if err != nil {
		return err
	}
	j.spool = spool
	latest := map[string][]string{}
	sources, size := slices.Clone(j.opts.Sources), 0
	for _, r := range left {
		sources = append(sources, r.Source)
		size += len(r.Raw)
	}
	if len(left) > 0 {
		size += lightReady // what a commit may have put behind them that was not kept
	}
	slices.Sort(sources) // each is asked for once
	for _, source := range slices.Compact(sources) {
		if latest[source], err = j.file.latestIDs(ctx, source, j.opts.Remember, size); err != nil {
			return err
		}
	}
	if j.last, _, err = j.file.summary(ctx); err != nil {
		return err
	}
	var recovered []numbered
	for _, r := range j.opts.Recover(latest, left) {
		j.last++
		recovered = append(recovered, numbered{j.last, &r})
	}
	if err := j.file.commit(ctx, change{added: recovered}); err != nil {
		return err
	}
	if err := spool.reset(); err != nil {
		return err
	}
	if j.last, j.kept, err = j.file.summary(ctx); err != nil {
		return err
	}
	j.remembered, err = j.file.settledMessages(ctx)
	return err
}

// Keep keeps a frame that was read just now, for the next process if this one is killed
// before Add has brought it further. It returns what says that it need not be kept any
// more, for Record.Release, or to be called where the frame is not wanted; nil where it
// could not be kept. It is as quick as a write to a file, and safe for many goroutines.
func (j *Journal[T]) Keep(source string, raw []byte) (release func()) {
	return j.spool.keep(source, raw)
}

// Add puts a frame in and returns before it is on disk. While the journal is full,
// or its file fails, or much waits to be written, it waits for that to change,
// until ctx ends; then it takes the frame all the same, for there is nowhere else
// to keep it.
func (j *Journal[T]) Add(ctx context.Context, r Record, value T) {
	stop := context.AfterFunc(ctx, j.wake)
	defer stop()
	size := int64(len(r.Raw))
	j.mu.Lock()
	defer j.mu.Unlock()
	for ctx.Err() == nil && (j.isFull(size) || j.fault != nil || j.addSize >= window) {
		j.cond.Wait()
	}
	j.last++
	j.adding = append(j.adding, entry[T]{number: j.last, size: size, messages: r.Messages, record: r, value: value})
	j.addSize += size
	j.kept.add(1, size, r.Messages)
	j.cond.Broadcast()
}

// Remains returns what is in the journal and not settled, with what waits to be written.
func (j *Journal[T]) Remains() Remains {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.kept
}

// isFull tells whether there is no room, which there is not until half of it is free
// again. One frame always has room. The mutex is held.
func (j *Journal[T]) isFull(size int64) bool {
	if !j.full && j.kept.Frames > 0 && j.kept.Size+size > j.opts.MaxSize {
		j.full = true
		j.cond.Broadcast()
	}
	return j.full
}

// Taken is a frame that was taken out.
type Taken[T any] struct {
	Value T
	// Settle removes the frame from the journal, soon and once. It does not wait.
	Settle func()
}

// Next takes the oldest frame out, and waits for one until ctx ends.
func (j *Journal[T]) Next(ctx context.Context) (Taken[T], error) {
	stop := context.AfterFunc(ctx, j.wake)
	defer stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.ready) == 0 && ctx.Err() == nil {
		j.cond.Wait()
	}
	if ctx.Err() != nil {
		return Taken[T]{}, context.Cause(ctx)
	}
	return j.take(), nil
}

// NextWaiting takes the oldest frame out, if there is one.
func (j *Journal[T]) NextWaiting() (Taken[T], bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.ready) == 0 {
		return Taken[T]{}, false
	}
	return j.take(), true
}

// take takes the oldest frame out. The mutex is held, and there is one.
func (j *Journal[T]) take() Taken[T] {
	e := j.ready[0]
	j.ready[0] = entry[T]{}
	j.ready = j.ready[1:]
	j.readySize -= e.size
	j.cond.Broadcast()
	return Taken[T]{
		Value:  e.value,
		Settle: sync.OnceFunc(func() { j.settle(e.number, e.size, e.messages) }),
	}
}

func (j *Journal[T]) settle(number, size int64, messages int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kept.add(-1, size, messages)
	j.settled = append(j.settled, settlement{number, messages})
	j.full = j.full && 2*j.kept.Size > j.opts.MaxSize
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
func (j *Journal[T]) Close() (kept, lost Remains, err error) {
	j.mu.Lock()
	j.closing = true
	j.cond.Broadcast()
	j.mu.Unlock()
	<-j.stopped
	j.spool.close()
	j.spool.tidy()
	err = j.file.close()
	j.mu.Lock()
	defer j.mu.Unlock()
	kept = j.kept
	for _, e := range j.adding {
		if e.record.Release != nil {
			continue // it was kept
		}
		lost.add(1, e.size, e.messages)
		kept.add(-1, e.size, e.messages)
	}
	if err == nil {
		err = j.fault
	}
	return kept, lost, err
}
