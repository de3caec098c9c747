package journal

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// spool has the frames that were read and are not in the journal's file. It is two
// plain files that are used in turns: when one has grown, the next frames go to the
// other, and the first is emptied once nothing in it is needed. A frame that is settled
// soon is never anywhere else.
type spool struct {
	// mu is held while a file is written, which is what there is to wait for.
	mu      sync.Mutex
	files   []*spoolFile
	current int
	last    uint64 // the number of the newest frame
}

const (
	// turn is how large a file of the spool grows before the other is used, in bytes.
	turn = 8 << 20
	// crowd is how large it may grow while the other is not empty.
	crowd = 4 * turn
)

// openSpool opens the files beside a journal and returns the frames in them that are
// needed, in order. They stay until reset.
func openSpool(path string) (*spool, []Record, error) {
	s := &spool{}
	needed := map[uint64]Record{}
	for i := range 2 {
		f, err := openSpoolFile(fmt.Sprintf("%s-read%d", path, i+1), needed)
		if err != nil {
			s.close()
			return nil, nil, fmt.Errorf("opening what belongs to the journal: %w", err)
		}
		s.files = append(s.files, f)
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
func (s *spool) reset() error {
	for _, f := range s.files {
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
func (s *spool) sync() error {
	for _, f := range s.files {
		if !s.takeUnsynced(f) {
			continue
		}
		// Not under the mutex, for what comes meanwhile is to be kept at once.
		if err := f.file.Sync(); err != nil {
			s.doubt(f)
			return err
		}
	}
	return nil
}

// takeUnsynced tells whether a file has something that is not synced, and counts it as
// synced.
func (s *spool) takeUnsynced(f *spoolFile) (was bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, f.unsynced = f.unsynced, false
	return was
}

func (s *spool) doubt(f *spoolFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.doubtful = true
}

// inadequate tells whether the files have to be emptied: they are large, or one is
// doubtful.
func (s *spool) inadequate() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	current, other := s.files[s.current], s.files[1-s.current]
	return current.doubtful || other.doubtful || (current.size >= crowd && other.size > 0)
}

// keep puts a frame in, and returns what says that it is not needed any more, which
// flush makes known. Where it cannot be written it is not kept, and nil is returned.
func (s *spool) keep(source string, raw []byte) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if file := s.files[s.current]; file.usedUp() && len(file.needed) == 0 {
		_ = file.empty() // nobody flushes while only repeats come
	}
	if other := 1 - s.current; s.files[s.current].usedUp() && s.files[other].isEmpty() {
		s.current = other
	}
	s.last++
	number, file := s.last, s.files[s.current]
	if file.doubtful || file.write(number, source, raw) != nil {
		return nil
	}
	file.needed[number] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if file.needed[number] {
			delete(file.needed, number)
			file.released = append(file.released, number)
		}
	}
}

// flush makes known which frames are not needed any more. A failure makes them come
// again after a kill, and then their ids tell that they are known.
func (s *spool) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.files {
		done := len(f.needed) == 0 && (i != s.current || f.usedUp())
		switch {
		case done && !f.isEmpty():
			_ = f.empty()
		case len(f.released) > 0:
			_ = f.writeReleased()
		}
	}
}

// close closes the files. What is needed stays in them.
func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		_ = f.file.Close()
	}
}

// tidy removes the files, which are closed, where nothing in them is needed.
func (s *spool) tidy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		if len(f.needed) > 0 {
			return
		}
	}
	for _, f := range s.files {
		_ = os.Remove(f.file.Name())
	}
}
