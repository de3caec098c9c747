package journal

import (
	"context"
	"fmt"
)

// SetFault makes a journal as it is after a round that failed.
func (j *Journal[T]) SetFault(err error) { j.setFault(err) }

// LimitPages makes the disk full for this journal beyond so many pages of 4 KiB.
func (j *Journal[T]) LimitPages(ctx context.Context, n int) error {
	_, err := j.file.number(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", n))
	return err
}
