package files

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// fileSet is a set of files with their contents, whatever their paths are.
type fileSet map[string][]os.FileInfo

func fileSetKey(info os.FileInfo) string { return fmt.Sprint(info.Size(), info.ModTime().UnixNano()) }

func (s fileSet) has(info os.FileInfo) bool {
	return slices.ContainsFunc(s[fileSetKey(info)], func(known os.FileInfo) bool { return unchanged(known, info) })
}

func (s fileSet) add(info os.FileInfo) {
	key := fileSetKey(info)
	s[key] = append(s[key], info)
}

func (s fileSet) remove(info os.FileInfo) {
	key := fileSetKey(info)
	s[key] = slices.DeleteFunc(s[key], func(known os.FileInfo) bool { return unchanged(known, info) })
}

// forgetDeleted makes the input read files that look like deleted ones: a file system may use
// an inode again.
func (in *input) forgetDeleted() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, info := range in.deleted {
		in.known.remove(info)
	}
	in.deleted = nil
}

// open opens the next file. It returns false if there is none now, and how long to wait.
func (in *input) open() (wait time.Duration, ok bool) {
	if len(in.queue) == 0 {
		if in.listed && (in.pollInterval == 0 || time.Now().Before(in.nextListing)) {
			return time.Until(in.nextListing), false
		}
		in.list()
	}
	for len(in.queue) > 0 {
		path := in.queue[0]
		in.queue = in.queue[1:]
		if in.openPath(path) {
			return 0, true
		}
	}
	return time.Until(in.nextListing), false
}

// openPath opens a file as the current one, unless it cannot be opened or was read before.
func (in *input) openPath(path string) bool {
	s, err := openSource(path, in.maxRecordSize)
	if s == nil {
		if in.pollInterval == 0 || !isGone(path, err) {
			in.failOnce(path, err)
		}
		return false
	}
	delete(in.unreadable, path)
	if in.known.has(s.info) {
		in.log.Infof("Skipped %s, because it is a file that was read under another path", path)
		_ = s.file.Close() // nothing was read
		return false
	}
	in.known.add(s.info)
	in.current = s
	if err != nil {
		in.end(s, err)
		return false
	}
	return true
}

// list lists the files and puts those that are to be read into the queue.
func (in *input) list() {
	in.listed, in.nextListing = true, time.Now().Add(in.pollInterval)
	letters, _ := os.Stat(in.letters.folder) // Connect has created it
	var all []string
	for _, pattern := range in.paths {
		paths, err := expand(pattern)
		paths = slices.DeleteFunc(paths, func(path string) bool {
			info, statErr := os.Stat(path)
			if path == pattern || statErr != nil {
				return false // without wildcards, or opening it says what is wrong
			}
			if isIn(path, letters) {
				err = errDeadLetters
				return true
			}
			return !info.Mode().IsRegular()
		})
		switch {
		case len(paths) == 0 && (err != nil || in.pollInterval == 0):
			in.failOnce(pattern, cmp.Or(err, errNoFile))
		case !slices.Contains(paths, pattern): // opening a file removes its own path
			delete(in.unreadable, pattern)
		}
		all = append(all, paths...)
	}
	in.enqueue(all)
	maps.DeleteFunc(in.unreadable, func(path string, _ bool) bool {
		return !slices.Contains(all, path) && !slices.Contains(in.paths, path)
	})
}

// enqueue puts the files into the queue that were not read yet. An input that polls leaves out
// those that were not in the last listing in the same state: somebody may be writing to them.
func (in *input) enqueue(paths []string) {
	known, listed := fileSet{}, fileSet{}
	in.forgetDeleted()
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			in.queue = append(in.queue, path) // opening it says what is wrong
			continue
		}
		listed.add(info)
		switch {
		case in.known.has(info):
			known.add(info)
		case in.pollInterval == 0 || in.lastListed.has(info):
			in.queue = append(in.queue, path)
		}
	}
	in.known, in.lastListed = known, listed
}

var errDeadLetters = errors.New(
	"only dead letters match: use another folder for them, or name the files without a wildcard")

var errNoFile = errors.New("no file has this name or matches this pattern")

// expand returns the paths that match a pattern, sorted. If there are none, it returns an
// error if the folder cannot be listed.
func expand(pattern string) ([]string, error) {
	if _, err := os.Lstat(pattern); err == nil {
		return []string{pattern}, nil // also a name such as orders[1].csv
	}
	paths, err := service.Globs(service.OSFS(), pattern)
	if err != nil || len(paths) > 0 {
		return paths, err
	}
	folder := pattern
	for strings.ContainsAny(folder, `*?[`) {
		folder = filepath.Dir(folder)
	}
	_, err = os.ReadDir(folder)
	return nil, err
}

// isIn reports whether a file is in a folder.
func isIn(path string, folder os.FileInfo) bool {
	info, err := os.Stat(filepath.Dir(path))
	return err == nil && folder != nil && os.SameFile(info, folder)
}

// failOnce records that a path cannot be read, unless that was recorded before.
func (in *input) failOnce(path string, err error) {
	if in.unreadable[path] {
		return
	}
	in.unreadable[path] = true
	in.fail(fmt.Errorf("%s: %w", path, err))
}

// isGone reports whether a file was deleted or moved since it was listed. A symbolic link that
// leads nowhere is still there.
func isGone(path string, err error) bool {
	_, statErr := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist) && errors.Is(statErr, fs.ErrNotExist)
}
