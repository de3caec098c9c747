package journal

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// wal is the write-ahead log: it holds frames before they are in the store. Most frames
// are acknowledged soon and never reach the store.
//
// The log has two segments. Frames are appended to the current one. Once that is large,
// the log rotates to the other one, if it is empty. A segment is truncated when all its
// frames are acknowledged or in the store. Sequence numbers of the log are its own: they
// are not those of the journal.
type wal struct {
	// mu is held during writes to a segment, but not during syncs.
	mu       sync.Mutex
	segments []*segment
	current  int    // index in segments
	lastSeq  uint64 // of the newest frame
}

const (
	// segmentSize is the size in bytes at which the log rotates to the other segment.
	segmentSize = 8 << 20
	// maxSegmentSize is the size at which a segment needs a checkpoint, because the other
	// one is still not empty.
	maxSegmentSize = 4 * segmentSize
)

// openWAL opens the log of the journal at path. It returns the frames that were not
// acknowledged, in order. They stay in the log until reset.
func openWAL(path string) (w *wal, unacked []Record, err error) {
	w = &wal{}
	records := map[uint64]Record{}
	for i := range 2 {
		s, err := openSegment(fmt.Sprintf("%s-read%d", path, i+1), records)
		if err != nil {
			w.close()
			return nil, nil, fmt.Errorf(
				"opening the journal's write-ahead log: %w: give this user read and write access to it", err)
		}
		w.segments = append(w.segments, s)
	}
	syncDirectory(filepath.Dir(path))
	for _, seq := range slices.Sorted(maps.Keys(records)) {
		unacked = append(unacked, records[seq])
	}
	return w, unacked, nil
}

// syncDirectory syncs the names of new files to the disk. Not every system supports
// this. On those that do not, a loss of power soon after the first start can remove the
// files.
func syncDirectory(path string) {
	dir, err := os.Open(path) //nolint:gosec // the user chose it
	if err != nil {
		return
	}
	_ = dir.Sync()
	_ = dir.Close()
}

// reset truncates both segments, after the caller has committed their frames to the
// store.
func (w *wal) reset() error {
	for _, s := range w.segments {
		err := s.truncate()
		if err == nil {
			// Without a sync, a loss of power could bring back old records. The sequence
			// numbers of new ones start at 1 again and would clash with them.
			err = s.file.Sync()
		}
		if err != nil {
			return fmt.Errorf("truncating the journal's write-ahead log: %w", err)
		}
	}
	return nil
}

// sync syncs all segments that have new records. Only one goroutine may call it at a time.
func (w *wal) sync() error {
	for _, s := range w.segments {
		if !w.takeUnsynced(s) {
			continue
		}
		// The mutex is not held here, so that appends do not wait for the disk.
		if err := s.file.Sync(); err != nil {
			w.markSuspect(s)
			return err
		}
	}
	return nil
}

// takeUnsynced reports whether a segment has records that are not synced, and marks
// them as synced.
func (w *wal) takeUnsynced(s *segment) (unsynced bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	unsynced, s.unsynced = s.unsynced, false
	return unsynced
}

func (w *wal) markSuspect(s *segment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.suspect = true
}

// needsCheckpoint reports whether the log's frames must go into the store, so that the
// segments can be truncated: they are large, or one of them is suspect.
func (w *wal) needsCheckpoint() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	current, other := w.segments[w.current], w.segments[1-w.current]
	return current.suspect || other.suspect || (current.size >= maxSegmentSize && other.size > 0)
}

// append writes a frame to the current segment. It returns a function that acknowledges
// the frame; flushAcks makes the acknowledgement durable. It returns nil if the frame
// cannot be written.
func (w *wal) append(source string, raw []byte) (ack func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// A client that receives only duplicates acknowledges each of them, and enqueues none.
	// Then the writer never runs, so that flushAcks does not truncate the segment.
	if s := w.segments[w.current]; s.shouldRotate() && len(s.live) == 0 {
		_ = s.truncate()
	}
	if other := 1 - w.current; w.segments[w.current].shouldRotate() && w.segments[other].isEmpty() {
		w.current = other
	}
	w.lastSeq++
	seq, s := w.lastSeq, w.segments[w.current]
	if s.suspect || s.writeRecord(seq, source, raw) != nil {
		return nil
	}
	s.live[seq] = true
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if s.live[seq] {
			delete(s.live, seq)
			s.acked = append(s.acked, seq)
		}
	}
}

// flushAcks writes the acknowledgements, or truncates the segments that have no live
// frame. A failure is harmless: after a kill, the acknowledged frames are replayed, and
// Options.Recover knows them from their ids.
func (w *wal) flushAcks() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.segments {
		done := len(s.live) == 0 && (i != w.current || s.shouldRotate())
		switch {
		case done && !s.isEmpty():
			_ = s.truncate()
		case len(s.acked) > 0:
			_ = s.writeAcks()
		}
	}
}

// close closes both segments. Their frames stay for the next start.
func (w *wal) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.segments {
		_ = s.file.Close()
	}
}

// removeIfUnused removes the closed files, unless one of them has a live frame.
func (w *wal) removeIfUnused() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.segments {
		if len(s.live) > 0 {
			return
		}
	}
	for _, s := range w.segments {
		_ = os.Remove(s.file.Name())
	}
}
