package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// A frameSet holds frames of messages as they go over the wire, to be sent in one write.
// Each write needs new message ids, because the input drops messages with an id that it
// knows.
type frameSet struct {
	data      []byte
	idOffsets []int // offsets of the ids in data
	lastID    uint64
	messages  int
}

// idPlaceholder is a placeholder for msg_id and correl_id.
const idPlaceholder = "000000000000000000000000"

// newFrameSet returns a set of frames of messages. data is the JSON of each message's data.
func newFrameSet(frames, messages int, data string) *frameSet {
	set := &frameSet{messages: frames * messages}
	for range frames {
		payload := messageFrame(messages, data)
		set.data = append(set.data, frameHeader(len(payload))...)
		set.data = append(set.data, payload...)
	}
	for offset := 0; ; {
		next := bytes.Index(set.data[offset:], []byte(idPlaceholder))
		if next < 0 {
			return set
		}
		set.idOffsets = append(set.idOffsets, offset+next)
		offset += next + len(idPlaceholder)
	}
}

// renewIDs gives all messages new ids.
func (s *frameSet) renewIDs() {
	const digits = "0123456789abcdef"
	for _, offset := range s.idOffsets {
		s.lastID++
		for i, n := 0, s.lastID; n > 0; i, n = i+1, n/16 {
			s.data[offset+len(idPlaceholder)-1-i] = digits[n%16]
		}
	}
}

// frameHeader returns the header of an unmasked text frame (RFC 6455, section 5.2).
func frameHeader(size int) []byte {
	const textFrame = 0x81
	switch {
	case size < 126:
		return []byte{textFrame, byte(size)} //nolint:gosec // the size is less than 126
	case size < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{textFrame, 126}, uint16(size))
	}
	return binary.BigEndian.AppendUint64([]byte{textFrame, 127}, uint64(size))
}

// messageFrame returns a frame of messages in Zato's format: an object for one message, an
// array for more.
func messageFrame(messages int, data string) []byte {
	const message = `
        {
            "data": %s,
            "delivery_count": 1,
            "expiration": 86400,
            "expiration_time_iso": "2026-01-02T10:11:12.%06d",
            "ext_client_id": "zato.pubsub.pubapi.topic-service",
            "ext_pub_time_iso": "",
            "mime_type": "application\/json",
            "position_in_group": 1,
            "priority": 5,
            "pub_time_iso": "2026-01-01T10:11:12.%06d",
            "recv_time_iso": "2026-01-01T10:11:12.%06d",
            "size": 1024,
            "sub_key": "zpsk.wsx.client.0a1b2c",
            "topic_name": "\/bench",
            "msg_id": "zpsm%s",
            "correl_id": "%s"
        },`
	var list []byte
	for i := range messages {
		list = fmt.Appendf(list, message, data, i, i, i, idPlaceholder, idPlaceholder)
	}
	body := bytes.TrimSuffix(list, []byte{','})
	if messages > 1 {
		body = slices.Concat([]byte{'['}, body, []byte("\n    ]"))
	}
	return fmt.Appendf(nil, `{
    "meta": {
        "id": "12fb4c2d5d0b1981700203b6",
        "timestamp": "2026-01-01T10:11:12.234567",
        "msg_type": "zwsx.psrq"
    },
    "data": %s
}`, body)
}
