package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// frameSet is some frames of messages as they go over the wire, in one write. The ids of
// their messages are made new for each write, as repeats would be dropped.
type frameSet struct {
	bytes    []byte
	ids      []int // where they are
	next     uint64
	messages int
}

// noID stands where an id comes, of the message or the one that correlates it.
const noID = "000000000000000000000000"

// newFrameSet makes frames of some messages each, which have data, the text of a JSON
// value.
func newFrameSet(frames, messages int, data string) *frameSet {
	b := &frameSet{messages: frames * messages}
	for range frames {
		payload := frameOf(messages, data)
		b.bytes = append(b.bytes, header(len(payload))...)
		b.bytes = append(b.bytes, payload...)
	}
	for at := 0; ; {
		n := bytes.Index(b.bytes[at:], []byte(noID))
		if n < 0 {
			return b
		}
		b.ids = append(b.ids, at+n)
		at += n + len(noID)
	}
}

// renew makes new ids.
func (b *frameSet) renew() {
	const digits = "0123456789abcdef"
	for _, at := range b.ids {
		b.next++
		for i, n := 0, b.next; n > 0; i, n = i+1, n/16 {
			b.bytes[at+len(noID)-1-i] = digits[n%16]
		}
	}
}

// header is that of an unmasked text frame (RFC 6455, section 5.2).
func header(size int) []byte {
	const text = 0x81
	switch {
	case size < 126:
		return []byte{text, byte(size)} //nolint:gosec // it fits
	case size < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{text, 126}, uint16(size))
	}
	return binary.BigEndian.AppendUint64([]byte{text, 127}, uint64(size))
}

// frameOf is a frame of messages as Zato writes it: an object for one message, a list
// for more.
func frameOf(messages int, data string) []byte {
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
		list = fmt.Appendf(list, message, data, i, i, i, noID, noID)
	}
	all := bytes.TrimSuffix(list, []byte{','})
	if messages > 1 {
		all = slices.Concat([]byte{'['}, all, []byte("\n    ]"))
	}
	return fmt.Appendf(nil, `{
    "meta": {
        "id": "12fb4c2d5d0b1981700203b6",
        "timestamp": "2026-01-01T10:11:12.234567",
        "msg_type": "zwsx.psrq"
    },
    "data": %s
}`, all)
}
