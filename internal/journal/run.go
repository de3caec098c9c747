package journal

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"
)

// retryAfter is how long a file that failed is left alone.
const retryAfter = time.Second

// work is what there is to do for the owner of the file.
type work[T any] struct {
	add     []entry[T]
	settled []settlement
	load    bool
	tell    func() // of a change of full
	closing bool
}

// run owns the file until the journal is closed.
func (j *Journal[T]) run(ctx context.Context) {
	defer close(j.stopped)
	for {
		w := j.await()
		w.tell()
		err := j.do(ctx, w)
		changed := j.setFault(err)
		if w.closing {
			return // Close tells
		}
		if changed {
			j.opts.OnFault(err)
		}
		if err != nil {
			j.sleep(ctx, retryAfter)
		}
	}
}

// await waits for something to do.
func (j *Journal[T]) await() work[T] {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		// Half a window of what follows is read ahead.
		w := work[T]{
			add: j.adding, settled: j.settled, tell: func() {}, closing: j.closing,
			load: j.spilled > 0 && j.readySize < window/2 && !j.closing,
		}
		news := j.full != j.fullTold
		if news {
			w.tell = j.opts.OnRoom
			if j.full {
				w.tell = j.opts.OnFull
			}
			j.fullTold = j.full
		}
		// After a fault it is seen whether the file works again.
		if len(w.add) > 0 || len(w.settled) > 0 || w.load || news || w.closing || j.fault != nil {
			return w
		}
		j.cond.Wait()
	}
}

// What a file may have of unused pages of 4 KiB, and how many are given back in one
// round, so that nobody waits long for it.
const (
	sparePages = 1024
	stepPages  = 1024
)

// do does one round: what it could not do stays to be done.
func (j *Journal[T]) do(ctx context.Context, w work[T]) error {
	began := time.Now()
	c := j.plan(w)
	err := j.write(ctx, w, c)
	if err != nil {
		j.makeRoom(ctx, w, c)
		return err
	}
	j.committed(w.add, w.settled, c)
	if len(w.add)+len(w.settled) > 0 {
		j.opts.OnCommit(time.Since(began))
	}
	if j.remembered > j.opts.Remember {
		if err := j.file.forget(ctx, j.opts.Remember); err != nil {
			return err
		}
		j.remembered = 0
	}
	if w.load {
		if err := j.load(ctx); err != nil {
			return err
		}
	}
	if w.closing {
		return j.file.shrink(ctx, 0, math.MaxInt32)
	}
	return j.file.shrink(ctx, sparePages, stepPages)
}

// plan says what is done with the file. New frames do without it, as long as they fit.
// When they go into it, those that did without go first, for the order's sake.
func (j *Journal[T]) plan(w work[T]) change {
	var c change
	for _, s := range w.settled {
		if r, light := j.light[s.number]; light {
			c.passed = append(c.passed, r)
		} else {
			c.removed = append(c.removed, s.number)
		}
	}
	if w.closing || j.spool.inadequate() || !j.fits(w.add) {
		c.added = append(j.rest(c.passed), records(w.add)...)
	}
	return c
}

// write has the disk take what is new, in the spool or in the file.
func (j *Journal[T]) write(ctx context.Context, w work[T], c change) error {
	if len(w.add) > 0 && len(c.added) == 0 {
		if err := j.spool.sync(); err != nil {
			return j.file.explain("writing", err)
		}
	}
	return j.file.commit(ctx, c)
}

// makeRoom takes out what is settled where nothing can be put in: a full disk takes that.
func (j *Journal[T]) makeRoom(ctx context.Context, w work[T], c change) {
	if len(w.settled) == 0 || len(c.added) == 0 {
		return
	}
	c.added = nil
	if j.file.commit(ctx, c) == nil {
		j.committed(nil, w.settled, c)
	}
}

// What may wait in memory, and what may be in the spool alone, in bytes. The difference
// is what the pipeline has in hand.
const (
	lightReady = 2 * window
	lightLimit = 4 * window
)

// fits tells whether frames can do without the file: they are in the spool, and there is
// room for them in memory, where they are taken from.
func (j *Journal[T]) fits(added []entry[T]) bool {
	size := int64(0)
	for i := range added {
		if added[i].record.Release == nil {
			return false
		}
		size += added[i].size
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return size == 0 || (j.spilled == 0 && j.readySize+size <= lightReady && j.lightSize+size <= lightLimit)
}

// rest returns the frames that are in the spool alone, without those that are settled.
func (j *Journal[T]) rest(settled []numbered) []numbered {
	left := maps.Clone(j.light)
	for _, s := range settled {
		delete(left, s.number)
	}
	var out []numbered
	for _, number := range slices.Sorted(maps.Keys(left)) {
		out = append(out, left[number])
	}
	return out
}

func records[T any](entries []entry[T]) []numbered {
	out := make([]numbered, len(entries))
	for i := range entries {
		out[i] = numbered{entries[i].number, &entries[i].record}
	}
	return out
}

// committed moves what is on disk now on: into memory while there is room, and
// behind what is on disk alone otherwise.
func (j *Journal[T]) committed(added []entry[T], settled []settlement, c change) {
	for _, s := range settled {
		j.remembered += s.messages
	}
	for _, r := range append(c.passed, c.added...) { // neither needs the spool any more
		j.release(r)
	}
	light := len(c.added) == 0
	if light {
		for i := range added {
			r := added[i].record
			j.light[added[i].number] = numbered{added[i].number, &r}
			j.lightSize += added[i].size
		}
	}
	j.spool.flush()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range added {
		j.addSize -= e.size
		e.record = Record{}
		if !light && (j.spilled > 0 || j.readySize >= window) {
			j.spilled++
			continue
		}
		j.enter(e)
	}
	j.adding = append([]entry[T](nil), j.adding[len(added):]...)
	j.settled = append([]settlement(nil), j.settled[len(settled):]...)
	j.cond.Broadcast()
}

// release says that a frame need not be in the spool any more.
func (j *Journal[T]) release(r numbered) {
	if _, light := j.light[r.number]; light {
		delete(j.light, r.number)
		j.lightSize -= int64(len(r.record.Raw))
	}
	if r.record.Release != nil {
		r.record.Release()
	}
}

// loadStep is how many bytes are read again in one round, so that what was added
// meanwhile is soon on disk: reading costs more than writing, for frames are decoded.
const loadStep = 256 << 10

// load reads some of what is next on disk into memory.
func (j *Journal[T]) load(ctx context.Context) error {
	j.mu.Lock()
	after := j.reached
	j.mu.Unlock()
	return j.file.read(ctx, after, loadStep, func(number int64, r Record) error {
		r.Leftover = number <= j.leftover
		value, err := j.opts.Decode(r)
		if err != nil {
			return j.file.broken(number, err)
		}
		j.loaded(entry[T]{number: number, size: int64(len(r.Raw)), messages: r.Messages, value: value})
		return nil
	})
}

// loaded puts what was read behind what is in memory.
func (j *Journal[T]) loaded(e entry[T]) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.spilled--
	j.enter(e)
	j.cond.Broadcast()
}

// enter makes a frame the last of those that can be taken. The mutex is held.
func (j *Journal[T]) enter(e entry[T]) {
	j.ready = append(j.ready, e)
	j.readySize += e.size
	j.reached = e.number
}

// setFault keeps what is wrong and tells whether that is news.
func (j *Journal[T]) setFault(err error) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := j.fault
	j.fault = err
	j.cond.Broadcast()
	return (before == nil) != (err == nil) || (err != nil && before.Error() != err.Error())
}

// sleep waits, unless the journal is closed first.
func (j *Journal[T]) sleep(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	stop := context.AfterFunc(ctx, j.wake)
	defer stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	for !j.closing && ctx.Err() == nil {
		j.cond.Wait()
	}
}
