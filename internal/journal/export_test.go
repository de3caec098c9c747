package journal

import (
	"context"
	"fmt"
	"os"
)

// SetErr puts the journal into the state after a round that failed.
func (j *Journal[T]) SetErr(err error) { j.setErr(err) }

// LimitPages simulates a full disk: the store cannot grow beyond n pages of 4 KiB.
func (j *Journal[T]) LimitPages(ctx context.Context, n int) error {
	_, err := j.store.queryInt(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", n))
	return err
}

// DivertWAL redirects the current segment to another file, until restore is called.
func (j *Journal[T]) DivertWAL(to *os.File) (restore func()) {
	s := j.wal.segments[j.wal.current]
	swap := func(file *os.File) (previous *os.File) {
		j.wal.mu.Lock()
		defer j.wal.mu.Unlock()
		previous, s.file = s.file, file
		return previous
	}
	previous := swap(to)
	return func() { swap(previous) }
}
