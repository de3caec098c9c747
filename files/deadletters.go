package files

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// deadLettersName is the name of the file in the folder of dead letters that has the records.
const deadLettersName = "messages.jsonl"

// maxDeadLetterWait limits the wait before a dead letter that could not be written is written
// again.
const maxDeadLetterWait = 30 * time.Second

// deadLetters is a folder for records and files that cannot be read or delivered. Its methods
// may be called by several goroutines.
type deadLetters struct {
	folder string
	log    *service.Logger

	created bool // by prepare

	// mu guards the rest. It is held during I/O: one letter is written at a time.
	mu   sync.Mutex
	file *os.File // nil before the first letter
	size int64    // of the whole letters in file
}

// letter says what a dead letter is. Its content follows.
type letter struct {
	Time   time.Time `json:"time"`
	File   string    `json:"file"`
	Line   int64     `json:"line"`
	Offset int64     `json:"offset"`
	Reason string    `json:"reason"`
}

// prepare creates the folder and checks that files can be created there.
func (d *deadLetters) prepare() error {
	_, err := os.Stat(d.folder)
	d.created = errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(d.folder, 0o750); err != nil {
		return err
	}
	probe, err := os.CreateTemp(d.folder, ".writable-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// add writes a letter with a content, a part at a time: next returns the next part, and whether
// there is more. While a part cannot be written, add tries again until the context ends.
func (d *deadLetters) add(ctx context.Context, l letter, next func() (part []byte, more bool)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := &retryingWriter{ctx: ctx, letters: d}
	if err := w.open(); err != nil {
		return err
	}
	w.at = d.size
	out := bufio.NewWriter(w)
	writeLetter(out, l, next)
	if err := out.Flush(); err != nil {
		return err
	}
	d.size = w.at
	return nil
}

// writeLetter writes a line of JSON. The content is text if it is whole and valid UTF-8, and
// base64 otherwise. The writer keeps the first error.
func writeLetter(out *bufio.Writer, l letter, next func() ([]byte, bool)) {
	head, _ := json.Marshal(l) // has no value that cannot be encoded
	_, _ = out.Write(head[:len(head)-1])
	part, more := next()
	if !more && utf8.Valid(part) {
		_, _ = out.WriteString(`,"content":`)
		text, _ := json.Marshal(string(part)) // as above
		_, _ = out.Write(text)
	} else {
		_, _ = out.WriteString(`,"content_base64":"`)
		encoder := base64.NewEncoder(base64.StdEncoding, out)
		_, _ = encoder.Write(part)
		for more {
			part, more = next()
			_, _ = encoder.Write(part)
		}
		_ = encoder.Close()
		_ = out.WriteByte('"')
	}
	_, _ = out.WriteString("}\n")
}

// retryingWriter writes to the file of dead letters, and tries again what fails.
type retryingWriter struct {
	ctx     context.Context //nolint:containedctx // a writer lives as long as one call of add
	letters *deadLetters
	at      int64
}

func (w *retryingWriter) Write(p []byte) (int, error) {
	err := w.retry(func() error {
		_, err := w.letters.file.WriteAt(p, w.at)
		return err
	})
	if err != nil {
		return 0, err
	}
	w.at += int64(len(p))
	return len(p), nil
}

// open opens a new file before the first letter, and after somebody has moved the last one.
func (w *retryingWriter) open() error {
	d := w.letters
	if d.file != nil {
		is, err := d.file.Stat()
		if named, statErr := os.Stat(d.file.Name()); err == nil && statErr == nil && os.SameFile(is, named) {
			return nil
		}
		_ = d.file.Close() // the letters are written
		d.file, d.size = nil, 0
	}
	return w.retry(func() error {
		file, err := createUnique(d.folder, deadLettersName)
		if err == nil {
			d.file = file
		}
		return err
	})
}

// retry calls a function until it succeeds or the context ends.
func (w *retryingWriter) retry(do func() error) error {
	for wait := time.Second; ; wait = min(2*wait, maxDeadLetterWait) {
		err := do()
		if err == nil {
			return nil
		}
		w.letters.log.Errorf("Could not write a dead letter, the next attempt is in %v: %v", wait, err)
		select {
		case <-time.After(wait):
		case <-w.ctx.Done():
			return fmt.Errorf("writing a dead letter: %w", err)
		}
	}
}

// addFile sets a whole file aside and returns the path of the copy.
func (d *deadLetters) addFile(from *os.File, name string) (path string, err error) {
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	to, err := createUnique(d.folder, name)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	err = errors.Join(err, to.Sync(), to.Close())
	if err != nil {
		_ = os.Remove(to.Name()) // it is not whole
	}
	return to.Name(), err
}

// sync returns when the letters are on disk.
func (d *deadLetters) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return nil
	}
	return d.file.Sync()
}

// path returns where the letters are.
func (d *deadLetters) path() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return d.folder
	}
	return d.file.Name()
}

// close closes the file, without the beginning of a letter that could not be written. It
// removes a folder that it has created, if nothing is in it.
func (d *deadLetters) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil && d.created {
		_ = os.Remove(d.folder) // fails if there are copies of files
	}
	if d.file == nil {
		return nil
	}
	return errors.Join(d.file.Truncate(d.size), d.file.Sync(), d.file.Close())
}

// createUnique creates a file in a folder. If the name is taken, the time goes in front of it.
func createUnique(folder, name string) (*os.File, error) {
	const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, err
	}
	path := filepath.Join(folder, name)
	for {
		file, err := os.OpenFile(path, flags, 0o600) //nolint:gosec // the configuration names the folder
		if !errors.Is(err, fs.ErrExist) {
			return file, err
		}
		path = filepath.Join(folder, uniqueName(name))
	}
}

// uniqueName returns a name with the same ending that no other file has.
func uniqueName(name string) string {
	return fmt.Sprintf("%s-%d-%s", time.Now().UTC().Format("20060102T150405.000000000Z"), os.Getpid(), name)
}
