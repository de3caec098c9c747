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
		if !s.change(f, false) {
			continue
		}
		// Not under the mutex, for what comes meanwhile is to be kept at once.
		if err := f.file.Sync(); err != nil {
			s.change(f, true)
			return err
		}
	}
	return nil
}

// change sets whether a file has something that is not synced, and returns what it was.
func (s *spool) change(f *spoolFile, unsynced bool) (was bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, f.unsynced = f.unsynced, unsynced
	return was
}

// crowded tells whether both files have to be emptied.
func (s *spool) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[s.current].size >= crowd && s.files[1-s.current].size > 0
}

// keep puts a frame in, and returns what says that it is not needed any more, which
// flush makes known. Where it cannot be written it is not kept, and nil is returned.
func (s *spool) keep(source string, raw []byte) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if file := s.files[s.current]; file.size >= turn && len(file.needed) == 0 {
		_ = file.empty() // nobody flushes while only repeats come
	}
	if other := 1 - s.current; s.files[s.current].size >= turn && s.files[other].size == 0 {
		s.current = other
	}
	s.last++
	number, file := s.last, s.files[s.current]
	if file.write(number, source, raw) != nil {
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
		done := len(f.needed) == 0 && (i != s.current || f.size >= turn)
		switch {
		case f.size > 0 && done:
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
