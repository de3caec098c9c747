package journal

import (
	"context"
	"fmt"
	"os"
)

// SetFault makes a journal as it is after a round that failed.
func (j *Journal[T]) SetFault(err error) { j.setErr(err) }

// LimitPages makes the disk full for this journal beyond so many pages of 4 KiB.
func (j *Journal[T]) LimitPages(ctx context.Context, n int) error {
	_, err := j.store.nextSeq(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", n))
	return err
}

// DivertKept has another file in the place of that which Keep writes to, until back is
// called.
func (j *Journal[T]) DivertKept(to *os.File) (back func()) {
	f := j.wal.segments[j.wal.current]
	exchange := func(by *os.File) (former *os.File) {
		j.wal.mu.Lock()
		defer j.wal.mu.Unlock()
		former, f.file = f.file, by
		return former
	}
	former := exchange(to)
	return func() { exchange(former) }
}
