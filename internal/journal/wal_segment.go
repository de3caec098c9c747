package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// segment is a file of frames, and of lists of those that are not needed any more.
type segment struct {
	file     *os.File
	size     int64
	unsynced bool
	// suspect says that the file may not have what was written, until it is emptied: a
	// sync failed, after which the system may drop it and tell nobody again, or half a
	// record could not be taken back, behind which nothing is read.
	suspect bool
	live    map[uint64]bool
	acked   []uint64 // what is not needed any more, and not written yet
}

// A record is a header, a source and a content. Its header has a checksum of the
// rest, the record's number, and the lengths of source and content. The content is a
// frame; that of number 0 is the numbers of frames that are not needed.
const (
	checksumSize = 4
	headerSize   = checksumSize + 8 + 4 + 4
	seqSize      = 8
)

// openSegment opens a file, or makes it for its owner's eyes only. It adds the
// frames that are needed.
func openSegment(name string, needed map[uint64]Record) (*segment, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // beside what the user names
	if err != nil {
		return nil, err
	}
	f := &segment{file: file, live: map[uint64]bool{}}
	info, err := file.Stat()
	if err == nil {
		f.size = info.Size()
		err = f.read(needed)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return f, nil
}

// read reads the records up to the first that is not whole: a process was killed
// while it wrote that, or the power was lost.
func (f *segment) read(needed map[uint64]Record) error {
	in := bufio.NewReader(f.file)
	for rest := f.size; ; {
		number, source, content, err := readRecord(in, rest)
		rest -= int64(headerSize + len(source) + len(content))
		switch {
		case errors.Is(err, errTruncated):
			return nil
		case err != nil:
			return err
		case number > 0:
			needed[number] = Record{Source: source, Raw: content}
		default:
			for ; len(content) >= seqSize; content = content[seqSize:] {
				delete(needed, binary.LittleEndian.Uint64(content))
			}
		}
	}
}

var errTruncated = errors.New("the record is not whole")

// readRecord reads one record, of which so many bytes are there at most.
func readRecord(in io.Reader, rest int64) (number uint64, source string, content []byte, err error) {
	if rest < headerSize {
		return 0, "", nil, errTruncated
	}
	header := make([]byte, headerSize)
	if _, err = io.ReadFull(in, header); err != nil {
		return 0, "", nil, err
	}
	fields := header[checksumSize:]
	number = binary.LittleEndian.Uint64(fields)
	sourceSize := int64(binary.LittleEndian.Uint32(fields[8:]))
	size := sourceSize + int64(binary.LittleEndian.Uint32(fields[12:]))
	if rest < headerSize+size {
		return 0, "", nil, errTruncated
	}
	body := make([]byte, size)
	if _, err = io.ReadFull(in, body); err != nil {
		return 0, "", nil, err
	}
	if binary.LittleEndian.Uint32(header) != checksum(fields, body) {
		return 0, "", nil, errTruncated
	}
	return number, string(body[:sourceSize]), body[sourceSize:], nil
}

// write appends a record. What of it is in the file after a failure is taken back.
func (f *segment) write(number uint64, source string, content []byte) error {
	header := make([]byte, checksumSize, headerSize+len(source))
	header = binary.LittleEndian.AppendUint64(header, number)
	header = binary.LittleEndian.AppendUint32(header, uint32(len(source)))  //nolint:gosec // a topic
	header = binary.LittleEndian.AppendUint32(header, uint32(len(content))) //nolint:gosec // the client bounds frames
	header = append(header, source...)
	binary.LittleEndian.PutUint32(header, checksum(header[checksumSize:], content))
	_, err := f.file.Write(header)
	if err == nil {
		_, err = f.file.Write(content)
	}
	if err != nil {
		back := f.file.Truncate(f.size)
		f.suspect = f.suspect || back != nil
		return errors.Join(err, back)
	}
	f.size += int64(len(header) + len(content))
	f.unsynced = true
	return nil
}

// writeAcked writes which frames are not needed any more.
func (f *segment) writeAcked() error {
	var content []byte
	for _, number := range f.acked {
		content = binary.LittleEndian.AppendUint64(content, number)
	}
	if err := f.write(0, "", content); err != nil {
		return err
	}
	f.acked = nil
	return nil
}

// empty takes everything out.
func (f *segment) empty() error {
	if err := f.file.Truncate(0); err != nil {
		return err
	}
	f.size, f.acked, f.suspect = 0, nil, false
	return nil
}

// rotated tells whether the next frames are to go to the other file.
func (f *segment) rotated() bool { return f.size >= segmentSize || f.suspect }

// isEmpty tells whether nothing is in the file, not even half a record.
func (f *segment) isEmpty() bool { return f.size == 0 && !f.suspect }
