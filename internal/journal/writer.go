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
	acked   []acked
	load    bool
	notify  func() // of a change of full
	closing bool
}

// run owns the file until the journal is closed.
func (j *Journal[T]) run(ctx context.Context) {
	defer close(j.stopped)
	for {
		w := j.nextWork()
		w.notify()
		err := j.round(ctx, w)
		changed := j.setErr(err)
		if w.closing {
			return // Close tells
		}
		if changed {
			j.opts.OnError(err)
		}
		if err != nil {
			j.sleep(ctx, retryAfter)
		}
	}
}

// nextWork waits for something to do.
func (j *Journal[T]) nextWork() work[T] {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		// Half a window of what follows is read ahead.
		w := work[T]{
			add: j.unwritten, acked: j.acked, notify: func() {}, closing: j.closing,
			load: j.onDisk > 0 && j.loadedSize < memoryLimit/2 && !j.closing,
		}
		news := j.full != j.reportedFull
		if news {
			w.notify = j.opts.OnResumed
			if j.full {
				w.notify = j.opts.OnFull
			}
			j.reportedFull = j.full
		}
		// After a fault it is seen whether the file works again.
		if len(w.add) > 0 || len(w.acked) > 0 || w.load || news || w.closing || j.err != nil {
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

// round does one round: what it could not do stays to be done.
func (j *Journal[T]) round(ctx context.Context, w work[T]) error {
	began := time.Now()
	c := j.planCommit(w)
	err := j.write(ctx, w, c)
	if err != nil {
		j.reclaimSpace(ctx, w, c)
		return err
	}
	j.applyCommit(w.add, w.acked, c)
	if len(w.add)+len(w.acked) > 0 {
		j.opts.OnCommit(time.Since(began))
	}
	if j.dedupIDs > j.opts.DedupLimit {
		if err := j.store.pruneAcked(ctx, j.opts.DedupLimit); err != nil {
			return err
		}
		j.dedupIDs = 0
	}
	if w.load {
		if err := j.loadMore(ctx); err != nil {
			return err
		}
	}
	if w.closing {
		return j.store.shrink(ctx, 0, math.MaxInt32)
	}
	return j.store.shrink(ctx, sparePages, stepPages)
}

// planCommit says what is done with the file. New frames do without it, as long as they fit.
// When they go into it, those that did without go first, for the order's sake.
func (j *Journal[T]) planCommit(w work[T]) tx {
	var c tx
	for _, s := range w.acked {
		if r, light := j.walOnly[s.seq]; light {
			c.ackedInWAL = append(c.ackedInWAL, r)
		} else {
			c.acked = append(c.acked, s.seq)
		}
	}
	if w.closing || j.wal.needsFlush() || !j.fits(w.add) {
		c.inserted = append(j.walPending(c.ackedInWAL), records(w.add)...)
	}
	return c
}

// write has the disk take what is new, in the spool or in the file.
func (j *Journal[T]) write(ctx context.Context, w work[T], c tx) error {
	if len(w.add) > 0 && len(c.inserted) == 0 {
		if err := j.wal.sync(); err != nil {
			return j.store.wrapErr("writing", err)
		}
	}
	return j.store.commit(ctx, c)
}

// reclaimSpace takes out what is settled where nothing can be put in: a full disk takes that.
func (j *Journal[T]) reclaimSpace(ctx context.Context, w work[T], c tx) {
	if len(w.acked) == 0 || len(c.inserted) == 0 {
		return
	}
	c.inserted = nil
	if j.store.commit(ctx, c) == nil {
		j.applyCommit(nil, w.acked, c)
	}
}

// What may wait in memory, and what may be in the spool alone, in bytes. The difference
// is what the pipeline has in hand.
const (
	walReadyLimit = 2 * memoryLimit
	walLimit      = 4 * memoryLimit
)

// fits tells whether frames can do without the file: they are in the spool, and there is
// room for them in memory, where they are taken from.
func (j *Journal[T]) fits(added []entry[T]) bool {
	size := int64(0)
	for i := range added {
		if added[i].record.Ack == nil {
			return false
		}
		size += added[i].size
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return size == 0 || (j.onDisk == 0 && j.loadedSize+size <= walReadyLimit && j.walOnlySize+size <= walLimit)
}

// walPending returns the frames that are in the spool alone, without those that are settled.
func (j *Journal[T]) walPending(settled []seqRecord) []seqRecord {
	left := maps.Clone(j.walOnly)
	for _, s := range settled {
		delete(left, s.seq)
	}
	var out []seqRecord
	for _, number := range slices.Sorted(maps.Keys(left)) {
		out = append(out, left[number])
	}
	return out
}

func records[T any](entries []entry[T]) []seqRecord {
	out := make([]seqRecord, len(entries))
	for i := range entries {
		out[i] = seqRecord{entries[i].seq, &entries[i].record}
	}
	return out
}

// applyCommit moves what is on disk now on: into memory while there is room, and
// behind what is on disk alone otherwise.
func (j *Journal[T]) applyCommit(added []entry[T], settled []acked, c tx) {
	for _, s := range settled {
		j.dedupIDs += s.messages
	}
	for _, r := range append(c.ackedInWAL, c.inserted...) { // neither needs the spool any more
		j.ack(r)
	}
	light := len(c.inserted) == 0
	if light {
		for i := range added {
			r := added[i].record
			j.walOnly[added[i].seq] = seqRecord{added[i].seq, &r}
			j.walOnlySize += added[i].size
		}
	}
	j.wal.flush()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range added {
		j.unwrittenSize -= e.size
		e.record = Record{}
		if !light && (j.onDisk > 0 || j.loadedSize >= memoryLimit) {
			j.onDisk++
			continue
		}
		j.push(e)
	}
	j.unwritten = append([]entry[T](nil), j.unwritten[len(added):]...)
	j.acked = append([]acked(nil), j.acked[len(settled):]...)
	j.cond.Broadcast()
}

// ack says that a frame need not be in the spool any more.
func (j *Journal[T]) ack(r seqRecord) {
	if _, light := j.walOnly[r.seq]; light {
		delete(j.walOnly, r.seq)
		j.walOnlySize -= int64(len(r.record.Raw))
	}
	if r.record.Ack != nil {
		r.record.Ack()
	}
}

// loadStep is how many bytes are read again in one round, so that what was added
// meanwhile is soon on disk: reading costs more than writing, for frames are decoded.
const loadStep = 256 << 10

// loadMore reads some of what is next on disk into memory.
func (j *Journal[T]) loadMore(ctx context.Context) error {
	j.mu.Lock()
	after := j.lastLoaded
	j.mu.Unlock()
	return j.store.read(ctx, after, loadStep, func(number int64, r Record) error {
		r.Recovered = number <= j.recovered
		value, err := j.opts.Decode(r)
		if err != nil {
			return j.store.corruptErr(number, err)
		}
		j.pushLoaded(entry[T]{seq: number, size: int64(len(r.Raw)), messages: r.Messages, value: value})
		return nil
	})
}

// pushLoaded puts what was read behind what is in memory.
func (j *Journal[T]) pushLoaded(e entry[T]) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.onDisk--
	j.push(e)
	j.cond.Broadcast()
}

// push makes a frame the last of those that can be taken. The mutex is held.
func (j *Journal[T]) push(e entry[T]) {
	j.loaded = append(j.loaded, e)
	j.loadedSize += e.size
	j.lastLoaded = e.seq
}

// setErr keeps what is wrong and tells whether that is news.
func (j *Journal[T]) setErr(err error) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := j.err
	j.err = err
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
