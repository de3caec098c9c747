package journal

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// wal has the frames that were read and are not in the journal's file. It is two
// plain files that are used in turns: when one has grown, the next frames go to the
// other, and the first is emptied once nothing in it is needed. A frame that is settled
// soon is never anywhere else.
type wal struct {
	// mu is held while a file is written, which is what there is to wait for.
	mu       sync.Mutex
	segments []*segment
	current  int
	last     uint64 // the number of the newest frame
}

const (
	// segmentSize is how large a file of the spool grows before the other is used, in bytes.
	segmentSize = 8 << 20
	// maxSegmentSize is how large it may grow while the other is not empty.
	maxSegmentSize = 4 * segmentSize
)

// openWAL opens the files beside a journal and returns the frames in them that are
// needed, in order. They stay until reset.
func openWAL(path string) (*wal, []Record, error) {
	s := &wal{}
	needed := map[uint64]Record{}
	for i := range 2 {
		f, err := openSegment(fmt.Sprintf("%s-read%d", path, i+1), needed)
		if err != nil {
			s.close()
			return nil, nil, fmt.Errorf("opening what belongs to the journal: %w", err)
		}
		s.segments = append(s.segments, f)
	}
	syncDirectory(filepath.Dir(path))
	var left []Record
	for _, number := range slices.Sorted(maps.Keys(needed)) {
		left = append(left, needed[number])
	}
	return s, left, nil
}

// syncDirectory has the disk take the names of new files, where the system can do that.
// Where it cannot, a loss of power soon after the first start can take them along.
func syncDirectory(path string) {
	dir, err := os.Open(path) //nolint:gosec // the user names it
	if err != nil {
		return
	}
	_ = dir.Sync()
	_ = dir.Close()
}

// reset empties the files.
func (s *wal) reset() error {
	for _, f := range s.segments {
		err := f.empty()
		if err == nil {
			// Or what comes back after a loss of power would hide new frames.
			err = f.file.Sync()
		}
		if err != nil {
			return fmt.Errorf("emptying what belongs to the journal: %w", err)
		}
	}
	return nil
}

// sync has the disk take what was written. It is for one goroutine at a time.
func (s *wal) sync() error {
	for _, f := range s.segments {
		if !s.takeUnsynced(f) {
			continue
		}
		// Not under the mutex, for what comes meanwhile is to be kept at once.
		if err := f.file.Sync(); err != nil {
			s.markSuspect(f)
			return err
		}
	}
	return nil
}

// takeUnsynced tells whether a file has something that is not synced, and counts it as
// synced.
func (s *wal) takeUnsynced(f *segment) (was bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, f.unsynced = f.unsynced, false
	return was
}

func (s *wal) markSuspect(f *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.suspect = true
}

// needsFlush tells whether the files have to be emptied: they are large, or one is
// doubtful.
func (s *wal) needsFlush() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	current, other := s.segments[s.current], s.segments[1-s.current]
	return current.suspect || other.suspect || (current.size >= maxSegmentSize && other.size > 0)
}

// append puts a frame in, and returns what says that it is not needed any more, which
// flush makes known. Where it cannot be written it is not kept, and nil is returned.
func (s *wal) append(source string, raw []byte) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if file := s.segments[s.current]; file.rotated() && len(file.live) == 0 {
		_ = file.empty() // nobody flushes while only repeats come
	}
	if other := 1 - s.current; s.segments[s.current].rotated() && s.segments[other].isEmpty() {
		s.current = other
	}
	s.last++
	number, file := s.last, s.segments[s.current]
	if file.suspect || file.write(number, source, raw) != nil {
		return nil
	}
	file.live[number] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if file.live[number] {
			delete(file.live, number)
			file.acked = append(file.acked, number)
		}
	}
}

// flush makes known which frames are not needed any more. A failure makes them come
// again after a kill, and then their ids tell that they are known.
func (s *wal) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.segments {
		done := len(f.live) == 0 && (i != s.current || f.rotated())
		switch {
		case done && !f.isEmpty():
			_ = f.empty()
		case len(f.acked) > 0:
			_ = f.writeAcked()
		}
	}
}

// close closes the files. What is needed stays in them.
func (s *wal) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.segments {
		_ = f.file.Close()
	}
}

// removeIfEmpty removes the files, which are closed, where nothing in them is needed.
func (s *wal) removeIfEmpty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.segments {
		if len(f.live) > 0 {
			return
		}
	}
	for _, f := range s.segments {
		_ = os.Remove(f.file.Name())
	}
}
