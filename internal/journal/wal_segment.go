package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// segment is one file of the write-ahead log. It is a sequence of records, and each
// record holds a frame or acknowledges earlier frames. Except in openSegment, the log's
// mutex guards all fields.
type segment struct {
	file *os.File
	size int64
	// unsynced reports whether a record was written since the last sync.
	unsynced bool
	// suspect reports whether the file may lack records that were written to it. There are
	// two reasons. A sync failed: the system may then drop what it had not written, and
	// the next sync succeeds all the same. Or half a record could not be truncated: replay
	// stops there and never reads what follows. A suspect segment takes no record until it
	// is truncated.
	suspect bool
	// live holds the sequence numbers of the frames that are not acknowledged.
	live map[uint64]bool
	// acked holds the acknowledgements that are not written yet.
	acked []uint64
}

// A record is a header, a source and a content. The header has the checksum of all that
// follows the checksum, the record's sequence number, and the lengths of source and
// content. The content is a frame. If the sequence number is ackSeq, the record has no
// source, and its content is the sequence numbers of acknowledged frames.
const (
	checksumSize = 4
	headerSize   = checksumSize + seqSize + 4 + 4
	seqSize      = 8
	ackSeq       = 0
)

// openSegment opens or creates a segment and replays it: it adds the segment's frames to
// unacked and deletes those that the segment acknowledges. Only the owner may read the
// file, because frames contain subscription keys.
func openSegment(name string, unacked map[uint64]Record) (*segment, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // next to the user's own path
	if err != nil {
		return nil, err
	}
	s := &segment{file: file, live: map[uint64]bool{}}
	info, err := file.Stat()
	if err == nil {
		s.size = info.Size()
		err = s.replay(unacked)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return s, nil
}

// replay reads all records up to the first truncated one. The process was killed, or
// the power was lost, while that one was written.
func (s *segment) replay(unacked map[uint64]Record) error {
	in := bufio.NewReader(s.file)
	for remaining := s.size; ; {
		seq, source, content, err := readRecord(in, remaining)
		remaining -= int64(headerSize + len(source) + len(content))
		switch {
		case errors.Is(err, errTruncated):
			return nil
		case err != nil:
			return err
		case seq != ackSeq:
			unacked[seq] = Record{Source: source, Raw: content}
		default:
			for ; len(content) >= seqSize; content = content[seqSize:] {
				delete(unacked, binary.LittleEndian.Uint64(content))
			}
		}
	}
}

var errTruncated = errors.New("the record is truncated")

// readRecord reads one record. It returns errTruncated if the record is longer than the
// remaining bytes of the file, or if its checksum is wrong.
func readRecord(in io.Reader, remaining int64) (seq uint64, source string, content []byte, err error) {
	if remaining < headerSize {
		return 0, "", nil, errTruncated
	}
	header := make([]byte, headerSize)
	if _, err = io.ReadFull(in, header); err != nil {
		return 0, "", nil, err
	}
	fields := header[checksumSize:]
	seq = binary.LittleEndian.Uint64(fields)
	sourceSize := int64(binary.LittleEndian.Uint32(fields[seqSize:]))
	size := sourceSize + int64(binary.LittleEndian.Uint32(fields[seqSize+4:]))
	if remaining < headerSize+size {
		return 0, "", nil, errTruncated
	}
	body := make([]byte, size)
	if _, err = io.ReadFull(in, body); err != nil {
		return 0, "", nil, err
	}
	if binary.LittleEndian.Uint32(header) != checksum(fields, body) {
		return 0, "", nil, errTruncated
	}
	return seq, string(body[:sourceSize]), body[sourceSize:], nil
}

// writeRecord appends a record. If the write fails, it truncates what the file has of the
// record.
func (s *segment) writeRecord(seq uint64, source string, content []byte) error {
	header := make([]byte, checksumSize, headerSize+len(source))
	header = binary.LittleEndian.AppendUint64(header, seq)
	header = binary.LittleEndian.AppendUint32(header, uint32(len(source)))  //nolint:gosec // a topic
	header = binary.LittleEndian.AppendUint32(header, uint32(len(content))) //nolint:gosec // the client bounds frames
	header = append(header, source...)
	binary.LittleEndian.PutUint32(header, checksum(header[checksumSize:], content))
	_, err := s.file.Write(header)
	if err == nil {
		_, err = s.file.Write(content)
	}
	if err != nil {
		truncateErr := s.file.Truncate(s.size)
		s.suspect = s.suspect || truncateErr != nil
		return errors.Join(err, truncateErr)
	}
	s.size += int64(len(header) + len(content))
	s.unsynced = true
	return nil
}

// writeAcks appends a record of all acknowledgements that are not written yet.
func (s *segment) writeAcks() error {
	var content []byte
	for _, seq := range s.acked {
		content = binary.LittleEndian.AppendUint64(content, seq)
	}
	if err := s.writeRecord(ackSeq, "", content); err != nil {
		return err
	}
	s.acked = nil
	return nil
}

// truncate removes all records.
func (s *segment) truncate() error {
	if err := s.file.Truncate(0); err != nil {
		return err
	}
	s.size, s.acked, s.suspect = 0, nil, false
	return nil
}

// shouldRotate reports whether the next record goes to the other segment.
func (s *segment) shouldRotate() bool { return s.size >= segmentSize || s.suspect }

// isEmpty reports whether the file holds nothing, not even half a record.
func (s *segment) isEmpty() bool { return s.size == 0 && !s.suspect }
