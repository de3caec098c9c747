package journal

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"
)

// retryAfter is how long the writer waits after an error.
const retryAfter = time.Second

// work is what the writer does in one round.
type work[T any] struct {
	unwritten []entry[T]
	acked     []ackedFrame
	load      bool   // whether to load frames from the store
	notify    func() // reports a change of Journal.full
	closing   bool
}

// run is the writer. It works in rounds until the journal is closed.
func (j *Journal[T]) run(ctx context.Context) {
	defer close(j.stopped)
	for {
		w := j.nextWork()
		w.notify()
		err := j.round(ctx, w)
		changed := j.setErr(err)
		if w.closing {
			return // Close returns the error
		}
		if changed {
			j.opts.OnError(err)
		}
		if err != nil {
			j.sleep(ctx, retryAfter)
		}
	}
}

// nextWork waits until there is something to do.
func (j *Journal[T]) nextWork() work[T] {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		w := work[T]{
			unwritten: j.unwritten, acked: j.acked, notify: func() {}, closing: j.closing,
			// Loading begins when half of the memory is free.
			load: j.storeOnly > 0 && j.loadedSize < memoryLimit/2 && !j.closing,
		}
		fullChanged := j.full != j.reportedFull
		if fullChanged {
			w.notify = j.opts.OnResumed
			if j.full {
				w.notify = j.opts.OnFull
			}
			j.reportedFull = j.full
		}
		// After an error, a round without work finds out whether the files work again.
		if len(w.unwritten) > 0 || len(w.acked) > 0 || w.load || fullChanged || w.closing || j.err != nil {
			return w
		}
		j.cond.Wait()
	}
}

const (
	// sparePages is how many unused pages of 4 KiB the store may keep.
	sparePages = 1024
	// shrinkStep is how many pages a round gives back to the disk, so that new frames do not
	// wait long.
	shrinkStep = 1024
)

// round does the work. After an error, the work that is not done stays for the next round.
func (j *Journal[T]) round(ctx context.Context, w work[T]) error {
	began := time.Now()
	c := j.planCommit(w)
	err := j.write(ctx, w, c)
	if err != nil {
		j.reclaimSpace(ctx, w, c)
		return err
	}
	j.applyCommit(w.unwritten, w.acked, c)
	if len(w.unwritten)+len(w.acked) > 0 {
		j.opts.OnCommit(time.Since(began))
	}
	if j.ackedSincePrune > j.opts.DedupLimit {
		if err := j.store.pruneAcked(ctx, j.opts.DedupLimit); err != nil {
			return err
		}
		j.ackedSincePrune = 0
	}
	if w.load {
		if err := j.loadMore(ctx); err != nil {
			return err
		}
	}
	if w.closing {
		return j.store.shrink(ctx, 0, math.MaxInt32)
	}
	return j.store.shrink(ctx, sparePages, shrinkStep)
}

// planCommit decides where the round makes the new frames durable: in the log if that is
// enough, in the store otherwise. New frames in the store need a checkpoint: the frames
// that are only in the log are inserted before them, to keep the order.
func (j *Journal[T]) planCommit(w work[T]) tx {
	var c tx
	for _, a := range w.acked {
		if r, ok := j.walOnly[a.seq]; ok {
			c.ackedInWAL = append(c.ackedInWAL, r)
		} else {
			c.ackedInStore = append(c.ackedInStore, a.seq)
		}
	}
	if w.closing || j.wal.needsCheckpoint() || !j.fitsInWAL(w.unwritten) {
		c.inserted = append(j.walPending(c.ackedInWAL), records(w.unwritten)...)
	}
	return c
}

// write makes the new frames durable and commits the acknowledgements.
func (j *Journal[T]) write(ctx context.Context, w work[T], c tx) error {
	if len(w.unwritten) > 0 && c.destination() == toWAL {
		if err := j.wal.sync(); err != nil {
			return j.store.wrapErr("writing", err)
		}
	}
	return j.store.commit(ctx, c)
}

// reclaimSpace removes the acknowledged frames after the new ones could not be inserted.
// A full disk still allows that.
func (j *Journal[T]) reclaimSpace(ctx context.Context, w work[T], c tx) {
	if len(w.acked) == 0 || c.destination() == toWAL {
		return
	}
	c.inserted = nil
	if j.store.commit(ctx, c) == nil {
		j.applyCommit(nil, w.acked, c)
	}
}

// These are the limits, in bytes, for frames that are in the log and not in the store.
// The difference is for frames that were dequeued and not acknowledged.
const (
	walReadyLimit = 2 * memoryLimit // those that wait to be dequeued
	walLimit      = 4 * memoryLimit // all of them
)

// fitsInWAL reports whether the log is enough for new frames: it holds all of them, and
// there is memory for them, because frames in the log are only dequeued from memory.
func (j *Journal[T]) fitsInWAL(unwritten []entry[T]) bool {
	size := int64(0)
	for i := range unwritten {
		if !unwritten[i].record.inWAL() {
			return false
		}
		size += unwritten[i].size
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return size == 0 || (j.storeOnly == 0 && j.loadedSize+size <= walReadyLimit && j.walOnlySize+size <= walLimit)
}

// walPending returns the frames that are in the log and not in the store, in order and
// without the acknowledged ones.
func (j *Journal[T]) walPending(acked []seqRecord) []seqRecord {
	pending := maps.Clone(j.walOnly)
	for _, r := range acked {
		delete(pending, r.seq)
	}
	var out []seqRecord
	for _, seq := range slices.Sorted(maps.Keys(pending)) {
		out = append(out, pending[seq])
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

// applyCommit updates the memory after a commit. It makes the new frames ready to be
// dequeued, or leaves them in the store if memory is full or older frames are there.
func (j *Journal[T]) applyCommit(written []entry[T], acked []ackedFrame, c tx) {
	for _, a := range acked {
		j.ackedSincePrune += a.messages
	}
	for _, r := range append(c.ackedInWAL, c.inserted...) {
		j.ackInWAL(r)
	}
	if c.destination() == toWAL {
		for i := range written {
			r := written[i].record
			j.walOnly[written[i].seq] = seqRecord{written[i].seq, &r}
			j.walOnlySize += written[i].size
		}
	}
	j.wal.flushAcks()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range written {
		j.unwrittenSize -= e.size
		e.record = Record{}
		if c.destination() == toStore && (j.storeOnly > 0 || j.loadedSize >= memoryLimit) {
			j.storeOnly++
			continue
		}
		j.push(e)
	}
	j.unwritten = append([]entry[T](nil), j.unwritten[len(written):]...)
	j.acked = append([]ackedFrame(nil), j.acked[len(acked):]...)
	j.cond.Broadcast()
}

// ackInWAL acknowledges a frame in the log: it is in the store now, or the consumer has
// acknowledged it.
func (j *Journal[T]) ackInWAL(r seqRecord) {
	if _, ok := j.walOnly[r.seq]; ok {
		delete(j.walOnly, r.seq)
		j.walOnlySize -= int64(len(r.record.Raw))
	}
	if r.record.inWAL() {
		r.record.Ack()
	}
}

// loadStep is how many bytes a round loads from the store. It is small so that new frames
// are written soon: loading takes longer than writing, because frames are decoded.
const loadStep = 256 << 10

// loadMore loads the next frames from the store into memory.
func (j *Journal[T]) loadMore(ctx context.Context) error {
	j.mu.Lock()
	after := j.lastLoaded
	j.mu.Unlock()
	return j.store.read(ctx, after, loadStep, func(seq int64, r Record) error {
		r.Recovered = seq <= j.recoveredSeq
		value, err := j.opts.Decode(r)
		if err != nil {
			return j.store.corruptErr(seq, err)
		}
		j.pushLoaded(entry[T]{seq: seq, size: int64(len(r.Raw)), messages: r.Messages, value: value})
		return nil
	})
}

// pushLoaded makes a frame from the store ready to be dequeued.
func (j *Journal[T]) pushLoaded(e entry[T]) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.storeOnly--
	j.push(e)
	j.cond.Broadcast()
}

// push makes a frame ready to be dequeued, after all others. The caller holds the mutex.
func (j *Journal[T]) push(e entry[T]) {
	j.loaded = append(j.loaded, e)
	j.loadedSize += e.size
	j.lastLoaded = e.seq
}

// setErr stores the result of a round and reports whether it differs from the one before.
func (j *Journal[T]) setErr(err error) (changed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := j.err
	j.err = err
	j.cond.Broadcast()
	return (before == nil) != (err == nil) || (err != nil && before.Error() != err.Error())
}

// sleep waits for d, or until the journal is closed.
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
