package journal

import (
	"context"
	"math"
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
	numbers := make([]int64, len(w.settled))
	for i, s := range w.settled {
		numbers[i] = s.number
	}
	began := time.Now()
	err := j.file.commit(ctx, records(w.add), numbers)
	if err == nil && len(w.add)+len(numbers) > 0 {
		j.opts.OnCommit(time.Since(began))
	}
	if err == nil {
		j.committed(w.add, w.settled)
	} else if len(numbers) > 0 && len(w.add) > 0 && j.file.commit(ctx, nil, numbers) == nil {
		// A full disk takes what makes room.
		j.committed(nil, w.settled)
	}
	if err == nil && j.remembered > j.opts.Remember {
		if err = j.file.forget(ctx, j.opts.Remember); err == nil {
			j.remembered = 0
		}
	}
	if w.load && err == nil {
		err = j.load(ctx)
	}
	switch {
	case err != nil:
		return err
	case w.closing:
		return j.file.shrink(ctx, 0, math.MaxInt32)
	}
	return j.file.shrink(ctx, sparePages, stepPages)
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
func (j *Journal[T]) committed(added []entry[T], settled []settlement) {
	for _, s := range settled {
		j.remembered += s.messages
	}
	for i := range added {
		if onDisk := added[i].record.OnDisk; onDisk != nil {
			onDisk()
		}
	}
	j.spool.flush()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range added {
		j.addSize -= e.size
		e.record = Record{}
		if j.spilled > 0 || j.readySize >= window {
			j.spilled++
			continue
		}
		j.enter(e)
	}
	j.adding = append([]entry[T](nil), j.adding[len(added):]...)
	j.settled = append([]settlement(nil), j.settled[len(settled):]...)
	j.cond.Broadcast()
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
