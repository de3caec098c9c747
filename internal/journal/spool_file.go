package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// spoolFile is a file of frames, and of lists of those that are not needed any more.
type spoolFile struct {
	file     *os.File
	size     int64
	unsynced bool
	// doubtful says that the file may not have what was written, until it is emptied: a
	// sync failed, after which the system may drop it and tell nobody again, or half a
	// record could not be taken back, behind which nothing is read.
	doubtful bool
	needed   map[uint64]bool
	released []uint64 // what is not needed any more, and not written yet
}

// A record is a header, a source and a content. Its header has a checksum of the
// rest, the record's number, and the lengths of source and content. The content is a
// frame; that of number 0 is the numbers of frames that are not needed.
const (
	checksumSize = 4
	headerSize   = checksumSize + 8 + 4 + 4
	numberSize   = 8
)

// openSpoolFile opens a file, or makes it for its owner's eyes only. It adds the
// frames that are needed.
func openSpoolFile(name string, needed map[uint64]Record) (*spoolFile, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // beside what the user names
	if err != nil {
		return nil, err
	}
	f := &spoolFile{file: file, needed: map[uint64]bool{}}
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
func (f *spoolFile) read(needed map[uint64]Record) error {
	in := bufio.NewReader(f.file)
	for rest := f.size; ; {
		number, source, content, err := readRecord(in, rest)
		rest -= int64(headerSize + len(source) + len(content))
		switch {
		case errors.Is(err, errNotWhole):
			return nil
		case err != nil:
			return err
		case number > 0:
			needed[number] = Record{Source: source, Raw: content}
		default:
			for ; len(content) >= numberSize; content = content[numberSize:] {
				delete(needed, binary.LittleEndian.Uint64(content))
			}
		}
	}
}

var errNotWhole = errors.New("the record is not whole")

// readRecord reads one record, of which so many bytes are there at most.
func readRecord(in io.Reader, rest int64) (number uint64, source string, content []byte, err error) {
	if rest < headerSize {
		return 0, "", nil, errNotWhole
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
		return 0, "", nil, errNotWhole
	}
	body := make([]byte, size)
	if _, err = io.ReadFull(in, body); err != nil {
		return 0, "", nil, err
	}
	if binary.LittleEndian.Uint32(header) != checksum(fields, body) {
		return 0, "", nil, errNotWhole
	}
	return number, string(body[:sourceSize]), body[sourceSize:], nil
}

// write appends a record. What of it is in the file after a failure is taken back.
func (f *spoolFile) write(number uint64, source string, content []byte) error {
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
		f.doubtful = f.doubtful || back != nil
		return errors.Join(err, back)
	}
	f.size += int64(len(header) + len(content))
	f.unsynced = true
	return nil
}

// writeReleased writes which frames are not needed any more.
func (f *spoolFile) writeReleased() error {
	var content []byte
	for _, number := range f.released {
		content = binary.LittleEndian.AppendUint64(content, number)
	}
	if err := f.write(0, "", content); err != nil {
		return err
	}
	f.released = nil
	return nil
}

// empty takes everything out.
func (f *spoolFile) empty() error {
	if err := f.file.Truncate(0); err != nil {
		return err
	}
	f.size, f.released, f.doubtful = 0, nil, false
	return nil
}

// usedUp tells whether the next frames are to go to the other file.
func (f *spoolFile) usedUp() bool { return f.size >= turn || f.doubtful }

// isEmpty tells whether nothing is in the file, not even half a record.
func (f *spoolFile) isEmpty() bool { return f.size == 0 && !f.doubtful }
