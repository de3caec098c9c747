package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// The waits before rejected records are read again.
const (
	minRetryWait = 10 * time.Millisecond
	maxRetryWait = time.Second
)

// input reads files, one after the other. The engine calls Connect, Read and Close from one
// goroutine, and the acknowledgements from others.
type input struct {
	settings

	log      *service.Logger
	report   *Report
	letters  *deadLetters
	progress *progress
	aside    *service.MetricCounter
	failures *service.MetricCounter

	queue       []string // of the last listing
	listed      bool
	nextListing time.Time
	lastListed  fileSet         // the files of the last listing
	known       fileSet         // those of them that were opened
	unreadable  map[string]bool // the paths that could not be read
	current     *source         // what Read reads

	// mu guards the rest, and the counters of the sources. It is not held during I/O.
	mu        sync.Mutex
	rejected  []*delivery
	retryWait time.Duration
	pending   int
	counts    counts
	deleted   []os.FileInfo // since the last listing
	failed    int           // files that cannot be read to their end, or do not exist
	failure   error         // why the first of them cannot
	settled   chan struct{} // has one element if a delivery was settled
}

// counts are the numbers of records.
type counts struct{ read, setAside int }

// delivery is a record on its way through the pipeline.
type delivery struct {
	record

	from     *source
	input    *input
	notAgain time.Time // before this
	setAside bool
}

type settings struct {
	paths          []string
	maxRecordSize  int
	deleteOnFinish bool
	pollInterval   time.Duration // 0 if the files are listed once
}

func newInput(conf *service.ParsedConfig, res *service.Resources, report *Report) (service.Input, error) {
	s, folder, err := parse(conf)
	if err != nil {
		return nil, err
	}
	return &input{
		settings: s,
		log:      res.Logger(), report: report, progress: newProgress(os.Stderr),
		letters:  &deadLetters{folder: folder, log: res.Logger()},
		aside:    res.Metrics().NewCounter("file_records_set_aside"),
		failures: res.Metrics().NewCounter("file_records_failed_files"),
		known:    fileSet{}, unreadable: map[string]bool{}, settled: make(chan struct{}, 1), retryWait: minRetryWait,
	}, nil
}

// Connect checks that dead letters can be written. An input that reads its files once ends if
// they cannot, because nobody may be there to make it possible.
func (in *input) Connect(context.Context) error {
	err := in.letters.prepare()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("field %s: %w: use a folder in which this user may create files", fieldDeadLetters, err)
	if in.pollInterval > 0 {
		return err
	}
	in.fail(err)
	in.listed = true
	return nil
}

// Read returns the next record. Rejected records come first.
func (in *input) Read(ctx context.Context) (*service.Message, service.AckFunc, error) {
	for {
		d, wait := in.takeRejected()
		if d == nil && wait == 0 {
			var err error
			if d, wait, err = in.next(ctx); err != nil {
				return nil, nil, err
			}
		}
		if d != nil {
			msg := service.NewMessage(d.content).WithContext(withDelivery(ctx, d))
			msg.MetaSetMut("path", d.from.path)
			msg.MetaSetMut("line", d.line)
			return msg, func(_ context.Context, err error) error { in.settle(d, err); return nil }, nil
		}
		if err := in.awaitChange(ctx, wait); err != nil {
			return nil, nil, err
		}
	}
}

// awaitChange waits until a delivery is settled, and not longer than a duration.
func (in *input) awaitChange(ctx context.Context, wait time.Duration) error {
	select {
	case <-in.settled:
		return nil
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takeRejected returns a rejected record, or how long it has to wait.
func (in *input) takeRejected() (*delivery, time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.rejected) == 0 {
		return nil, 0
	}
	d := in.rejected[0]
	if wait := time.Until(d.notAgain); wait > 0 {
		return nil, wait
	}
	in.rejected = in.rejected[1:]
	return d, 0
}

// next returns the next record of the files. If there is none now, it returns how long to wait.
func (in *input) next(ctx context.Context) (*delivery, time.Duration, error) {
	for ctx.Err() == nil {
		if in.current == nil {
			if wait, ok := in.open(); !ok {
				return in.idle(wait)
			}
		}
		if d, err := in.readRecord(ctx); d != nil || err != nil {
			return d, 0, err
		}
	}
	return nil, 0, ctx.Err()
}

// idle says what to do while there is no file to read.
func (in *input) idle(untilListing time.Duration) (*delivery, time.Duration, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.pollInterval > 0:
		return nil, max(untilListing, time.Millisecond), nil
	case in.pending > 0:
		return nil, time.Minute, nil
	default:
		return nil, 0, service.ErrEndOfInput
	}
}

// readRecord returns the next record of the current file, or nil at its end, and after a part
// of it was set aside.
func (in *input) readRecord(ctx context.Context) (*delivery, error) {
	s := in.current
	rec, err := s.reader.next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		in.end(s, err)
		return nil, nil
	}
	in.mu.Lock()
	in.counts.read++
	in.pending++
	s.pending++
	in.progress.show(s, in.counts)
	in.mu.Unlock()
	d := &delivery{record: rec, from: s, input: in}
	if rec.fault == nil {
		return d, nil
	}
	err = d.setAsideFor(ctx, rec.fault.Error())
	if err == nil {
		in.settle(d, nil)
	}
	return nil, err
}

// setAsideFor writes the record to the dead letters, once.
func (d *delivery) setAsideFor(ctx context.Context, reason string) error {
	if d.setAside {
		return nil
	}
	next := func() ([]byte, bool) { return d.raw, false }
	if d.endless {
		next = d.from.reader.rest
	}
	err := d.input.letters.add(ctx, letter{
		Time: time.Now(), File: d.from.path, Line: d.line, Offset: d.offset, Reason: reason,
	}, next)
	if err != nil {
		return err
	}
	d.setAside = true
	d.input.aside.Incr(1)
	d.input.mu.Lock()
	defer d.input.mu.Unlock()
	d.input.counts.setAside++
	if d.from.setAside++; d.from.setAside <= maxLoggedRecords {
		d.input.log.Warnf("Set aside a record: %s, line %d: %s", d.from.path, d.line, reason)
	}
	return nil
}

// maxLoggedRecords is how many records of a file are logged one by one if they are set aside.
const maxLoggedRecords = 10

// settle handles the outcome of a delivery.
func (in *input) settle(d *delivery, err error) {
	in.mu.Lock()
	if err != nil {
		d.notAgain = time.Now().Add(in.retryWait)
		in.retryWait = min(2*in.retryWait, maxRetryWait)
		in.rejected = append(in.rejected, d)
	} else {
		in.retryWait = minRetryWait
		in.pending--
		d.from.pending--
	}
	finished := err == nil && d.from.ended && d.from.pending == 0
	in.mu.Unlock()
	if finished {
		in.finish(d.from)
	}
	select {
	case in.settled <- struct{}{}:
	default: // Read has not taken the last one yet
	}
}

// end is called once all records of a file were read, or it cannot be read further.
func (in *input) end(s *source, err error) {
	in.current = nil
	if err != nil {
		in.fail(fmt.Errorf("%s, from line %d on: %w", s.path, s.line(), err))
	}
	in.mu.Lock()
	s.ended, s.err = true, err
	finished := s.pending == 0
	in.mu.Unlock()
	if finished {
		in.finish(s)
	}
}

// fail records that a file cannot be read to its end.
func (in *input) fail(err error) {
	in.failures.Incr(1)
	in.log.Errorf("Could not read all: %v", err)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.failed++
	in.failure = cmp.Or(in.failure, err)
}

// finish is called once all records of a file are delivered or set aside. It deletes the file,
// if it may.
func (in *input) finish(s *source) {
	if s.setAside > maxLoggedRecords {
		in.log.Warnf("Set aside %d records of %s", s.setAside, s.path)
	}
	var err error
	if in.deleteOnFinish && !errors.Is(s.err, errChanged) { // one that was changed is read again
		err = in.delete(s)
	}
	_ = s.file.Close() // it was only read
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		in.log.Warnf("Could not delete a file that was read: %s: %v", s.path, err)
	}
}

// delete deletes a file once its dead letters are on disk. If the file cannot be read to its
// end, it is set aside first.
func (in *input) delete(s *source) error {
	if err := in.letters.sync(); err != nil {
		return err
	}
	if s.err != nil {
		path, err := in.letters.addFile(s.file, filepath.Base(s.path))
		if err != nil {
			return err
		}
		in.log.Warnf("Set aside a file that cannot be read to its end: %s, as %s", s.path, path)
	}
	if err := s.remove(); err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.deleted = append(in.deleted, s.info)
	return nil
}

// Close ends the input. What it could not do goes to the report.
func (in *input) Close(context.Context) error {
	in.mu.Lock()
	outcome := in.outcome()
	in.mu.Unlock()
	if in.current != nil {
		_ = in.current.file.Close() // it was only read
	}
	if outcome != nil && in.pollInterval == 0 {
		in.report.add(outcome)
	}
	return in.letters.close()
}

// outcome returns what the input could not do.
func (in *input) outcome() error {
	var all []error
	if n := in.counts.setAside; n > 0 {
		all = append(all, fmt.Errorf("%d of %d records were set aside: see %s", n, in.counts.read, in.letters.path()))
	}
	if n := in.failed; n > 0 {
		all = append(all, fmt.Errorf("%d files were not read to their end, the first because of this: %w", n, in.failure))
	}
	if !in.listed || in.current != nil || len(in.queue) > 0 || in.pending > 0 {
		all = append(all, errors.New("stopped before all records were delivered: run it again"))
	}
	return errors.Join(all...)
}
