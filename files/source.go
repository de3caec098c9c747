package files

import (
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// source is a file that is read. The input's mutex guards the counters.
type source struct {
	path   string
	file   *os.File
	info   os.FileInfo // from when it was opened
	reader *reader

	pending  int // records that were read and are neither delivered nor set aside
	setAside int
	ended    bool  // all records were read, or err says why not
	err      error // why the file cannot be read to its end
}

// line returns the number of the line that is read next.
func (s *source) line() int64 {
	if s.reader == nil {
		return 1
	}
	return s.reader.line
}

// openSource opens a file. Its name says its format.
func openSource(path string, maxRecordSize int) (*source, error) {
	file, err := os.Open(path) //nolint:gosec // the configuration names it
	if err != nil {
		return nil, err
	}
	s := &source{path: path, file: file}
	if s.info, err = file.Stat(); err == nil && s.info.IsDir() {
		err = errors.New("it is a folder: name its files, such as FOLDER/*.csv")
	}
	var content io.Reader
	var format format
	if err == nil {
		content, format, err = decoders(path, s)
	}
	if err != nil {
		return s, err
	}
	s.reader = newReader(content, format, maxRecordSize)
	return s, nil
}

// decoders returns the uncompressed content of a file and the format of its records.
func decoders(path string, file io.Reader) (content io.Reader, records format, err error) {
	name := strings.ToLower(filepath.Base(path))
	content = file
	switch compression := filepath.Ext(name); compression {
	case ".gz":
		name = strings.TrimSuffix(name, compression)
		if content, err = gzip.NewReader(file); errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	case ".bz2":
		name = strings.TrimSuffix(name, compression)
		content = bzip2.NewReader(file)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("decompressing: %w", err)
	}
	switch ext := filepath.Ext(name); {
	case ext == ".csv":
		return content, &table{}, nil
	case ext == ".json":
		return content, documents{}, nil
	case slices.Contains([]string{".gz", ".bz2", ".zip", ".tar", ".tgz", ".7z", ".rar", ".xz", ".zst", ".lz4"}, ext):
		return nil, nil, fmt.Errorf("it is an archive of a kind that cannot be read: unpack it (%s)", ext)
	default:
		return content, lines{}, nil
	}
}

var errChanged = errors.New("the file was changed while it was read: write each file under another name and rename it")

// Read reads from the file. It returns errChanged, and not the data, if another program has
// written to the file: what follows may be the middle of a record by now.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.file.Read(p)
	if !s.info.Mode().IsRegular() {
		return n, err
	}
	now, statErr := s.file.Stat()
	if statErr != nil {
		return 0, statErr
	}
	if !unchanged(s.info, now) {
		return 0, errChanged
	}
	return n, err
}

// unchanged reports whether two descriptions are of one file with one content.
func unchanged(before, now os.FileInfo) bool {
	return os.SameFile(before, now) && before.Size() == now.Size() && before.ModTime().Equal(now.ModTime())
}

var errReplaced = errors.New("another file has its name now")

// remove deletes the file if it still is the one that was read. It gives the file another name
// first, so that nothing can take its place between the check and the deletion.
func (s *source) remove() error {
	now, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if !unchanged(s.info, now) {
		return errReplaced
	}
	_ = s.file.Close() // Windows deletes no open file
	claimed := filepath.Join(filepath.Dir(s.path), uniqueName(filepath.Base(s.path)))
	if err := os.Rename(s.path, claimed); err != nil {
		return err
	}
	if now, err = os.Stat(claimed); err != nil {
		return err
	}
	if !unchanged(s.info, now) {
		return fmt.Errorf("%w: it is kept as %s", errReplaced, claimed)
	}
	return os.Remove(claimed)
}
