// Package tapproxy provides a proxy for tests. It forwards WebSocket connections
// and records which messages have reached the client's socket.
package tapproxy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"regexp"
)

// SkipUpgrade reads the server's HTTP response up to the empty line at its end.
func SkipUpgrade(in *bufio.Reader) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil || line == "\r\n" {
			return err
		}
	}
}

// ReadFrame reads one WebSocket frame of a server and returns it with its header
// (RFC 6455, section 5.2). It returns an error if the frame is masked, which only
// frames of clients are.
func ReadFrame(in io.Reader) ([]byte, error) {
	head := make([]byte, 2, 10)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, err
	}
	size := uint64(head[1])
	if size > 127 {
		return nil, errors.New("the frame is masked")
	}
	if extended := map[uint64]int{126: 2, 127: 8}[size]; extended > 0 {
		head = head[:2+extended]
		if _, err := io.ReadFull(in, head[2:]); err != nil {
			return nil, err
		}
		size = binary.BigEndian.Uint64(append(make([]byte, 8-extended), head[2:]...))
	}
	raw := make([]byte, len(head)+int(size))
	copy(raw, head)
	_, err := io.ReadFull(in, raw[len(head):])
	return raw, err
}

// MessageIDs returns the ids of the messages in a frame.
func MessageIDs(frame []byte) []string {
	var ids []string
	for _, m := range regexp.MustCompile(`"msg_id":\s*"([^"]+)"`).FindAllSubmatch(frame, -1) {
		ids = append(ids, string(m[1]))
	}
	return ids
}
