package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// record is a record of a file, or a part of a file that is none.
type record struct {
	line, offset int64  // where it begins, from 1 and from 0
	raw          []byte // as it is in the file, with its line ending
	content      []byte
	fault        error // why it cannot be read
	endless      bool  // whether it is too long for memory: reader.rest returns its bytes
}

// reader splits a file into records. It uses no more memory than a few records of the maximum
// size.
type reader struct {
	from   io.Reader
	format format
	max    int

	buffer       []byte
	start, end   int   // of the bytes that are not part of a record yet
	err          error // why from ended
	line, offset int64 // of start
}

const firstBuffer = 64 << 10

func newReader(from io.Reader, format format, maxSize int) *reader {
	return &reader{from: from, format: format, max: maxSize, line: 1}
}

// next returns the next record. It returns io.EOF after the last one, and another error if the
// file cannot be read further.
func (r *reader) next() (record, error) {
	if r.buffer == nil {
		if err := r.removeByteOrderMark(); err != nil {
			return record{}, err
		}
	}
	for {
		data := r.buffer[r.start:r.end]
		n := r.format.split(data)
		switch {
		case n > 0:
		case r.err == nil && len(data) < r.limit():
			r.fill()
			continue
		case r.err == nil:
			return r.tooLong(data)
		case isBlank(data), errors.Is(r.err, errChanged):
			return record{}, r.err
		case errors.Is(r.err, io.EOF): // the last record needs no line ending
			n = len(data)
		default:
			return r.take(bytes.Clone(data), nil, fmt.Errorf("the record is cut off: %w", r.err)), nil
		}
		if rec, err := r.decode(bytes.Clone(data[:n])); err != nil || rec.content != nil || rec.fault != nil {
			return rec, err
		}
	}
}

// limit is the size of the largest buffer: a record and its line ending.
func (r *reader) limit() int { return r.max + len("\r\n") }

// decode returns the record that raw is or begins with, or none if raw is white space.
func (r *reader) decode(raw []byte) (record, error) {
	content, bad, err := r.format.decode(raw)
	switch {
	case isFileError(err):
		return r.fail(err)
	case err != nil:
		raw = raw[:bad]
	case len(withoutLineEnding(raw)) > r.max:
		content, err = nil, r.errTooLong()
	}
	return r.take(raw, content, err), nil
}

func isFileError(err error) bool {
	whole := (*fileError)(nil)
	return errors.As(err, &whole)
}

// fail ends the file with an error.
func (r *reader) fail(err error) (record, error) {
	r.err = err
	r.start = r.end
	return record{}, err
}

func (r *reader) errTooLong() error {
	return fmt.Errorf("the record is longer than max_record_size (%d bytes)", r.max)
}

// tooLong returns the beginning of data as a record that cannot be read, or a record whose end
// is not known yet.
func (r *reader) tooLong(data []byte) (record, error) {
	bad, err := r.format.salvage(data)
	switch {
	case isFileError(err):
		return r.fail(err)
	case bad > 0:
		return r.take(bytes.Clone(data[:bad]), nil, err), nil
	default:
		return record{line: r.line, offset: r.offset, fault: r.errTooLong(), endless: true}, nil
	}
}

// rest returns the next part of a record that is too long, and whether there is more. The part
// is valid until the next call of a method.
func (r *reader) rest() (part []byte, more bool) {
	for {
		data := r.buffer[r.start:r.end]
		n, ended := r.format.skip(data)
		if r.err != nil && !ended {
			n = len(data)
		}
		if ended || n > 0 || r.err != nil {
			r.advance(n)
			return data[:n], !ended && r.err == nil
		}
		r.fill()
	}
}

// take returns the record that begins with the next byte, and goes on behind it.
func (r *reader) take(raw, content []byte, fault error) record {
	rec := record{line: r.line, offset: r.offset, raw: raw, content: content, fault: fault}
	r.advance(len(raw))
	return rec
}

func (r *reader) advance(n int) {
	r.line += int64(bytes.Count(r.buffer[r.start:r.start+n], []byte{'\n'}))
	r.offset += int64(n)
	r.start += n
}

// fill reads once, or finds out why it cannot. If the beginning of a long record is in the buffer,
// it reads until the buffer is full, because the record is searched from its beginning each time.
func (r *reader) fill() {
	if r.start > 0 {
		r.end = copy(r.buffer, r.buffer[r.start:r.end])
		r.start = 0
	}
	if r.end == len(r.buffer) {
		larger := make([]byte, min(max(2*len(r.buffer), firstBuffer), max(r.limit(), firstBuffer)))
		copy(larger, r.buffer)
		r.buffer = larger
	}
	long := r.end >= firstBuffer
	for once := true; r.err == nil && r.end < len(r.buffer) && (long || once); once = false {
		var n int
		n, r.err = r.from.Read(r.buffer[r.end:])
		r.end += n
	}
}

var errUTF16 = errors.New("the file is UTF-16: convert it to UTF-8")

// removeByteOrderMark skips the mark of UTF-8 at the beginning. It returns an error for UTF-16.
func (r *reader) removeByteOrderMark() error {
	const mark = "\xef\xbb\xbf"
	for r.err == nil && r.end < len(mark) {
		r.fill()
	}
	data := r.buffer[:r.end]
	switch {
	case bytes.HasPrefix(data, []byte(mark)):
		r.advance(len(mark))
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")),
		bytes.IndexByte(data[:min(len(data), 2)], 0) >= 0: // without a mark
		_, err := r.fail(&fileError{errUTF16})
		return err
	}
	return nil
}
