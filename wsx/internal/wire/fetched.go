package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// fetchedDecoders pools the decoders of fetched messages. Pushed messages have another
// layout, so their decoders have other templates.
var fetchedDecoders = sync.Pool{ //nolint:gochecknoglobals // a pool is shared by design
	New: func() any { return &frameDecoder{fieldByName: fetchedFieldByName} },
}

// DecodeFetched decodes the answer to a fetch: its messages and the number of messages that
// it confirmed. It calls fill as Decode does. The data of messages may point into answer,
// and the caller must not change answer any longer.
//
// Fetched messages have the fields of pushed ones, except topic_name, sub_key, size and
// recv_time_iso. Their times are texts of seconds since the epoch. DecodeFetched converts
// these to the form in which the server writes the times of pushed messages.
func DecodeFetched[M any](answer json.RawMessage, fill func(*M, *Message)) (messages []M, confirmed int64, err error) {
	d := fetchedDecoders.Get().(*frameDecoder) //nolint:forcetypeassert // the pool holds nothing else
	defer fetchedDecoders.Put(d)
	c := collectorOf[M](d)
	c.fill = fill
	if confirmed, ok := d.decodeFetched(answer, c.emit); ok {
		return c.finish(), confirmed, nil
	}
	c.finish() // drop the messages before the place where decoding stopped
	list, confirmed, err := decodeFetchedJSON(answer)
	for i := range list {
		c.append(&list[i], len(list)-i-1)
	}
	return c.finish(), confirmed, err
}

// decodeFetched parses an answer in one pass, as decode parses a frame.
func (d *frameDecoder) decodeFetched(
	answer []byte, emit func(m *Message, remaining int),
) (confirmed int64, ok bool) {
	d.scanner, d.frameState = scanner{text: answer}, frameState{aliasInput: true, emit: emit}
	ok = d.readObject(func(name []byte) bool {
		switch string(name) {
		case "messages":
			first := !d.dataRead
			d.dataRead = true
			return first && d.peek() == '[' && d.readArray(d.readMessage)
		case "confirmed":
			return d.readInteger(&confirmed)
		}
		return d.skipUnknownField(name)
	}) && d.atEnd() && d.dataRead
	d.reset(ok)
	return confirmed, ok
}

// decodeFetchedJSON decodes any answer with encoding/json.
func decodeFetchedJSON(answer json.RawMessage) (messages []Message, confirmed int64, err error) {
	var decoded struct {
		Messages *[]struct {
			Message

			PubTime        epochTime `json:"pub_time"`
			ExtPubTime     epochTime `json:"ext_pub_time"`
			ExpirationTime epochTime `json:"expiration_time"`
		} `json:"messages"`
		Confirmed int64 `json:"confirmed"`
	}
	if err := json.Unmarshal(answer, &decoded); err != nil {
		return nil, 0, fmt.Errorf("decoding fetched messages: %w", err)
	}
	if decoded.Messages == nil {
		return nil, 0, errors.New("decoding fetched messages: the answer has none")
	}
	for _, m := range *decoded.Messages {
		m.PubTime.setIn(&m.Message.PubTime)
		m.ExtPubTime.setIn(&m.Message.ExtPubTime)
		m.ExpirationTime.setIn(&m.Message.ExpirationTime)
		messages = append(messages, m.Message)
	}
	return messages, decoded.Confirmed, nil
}

// epochTime is the time of a fetched message, converted from seconds since the epoch.
type epochTime string

// UnmarshalJSON accepts a string or a number.
func (t *epochTime) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var text string
	if data[0] != '"' {
		text = string(data)
	} else if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	*t = epochTime(appendTime(nil, []byte(text)))
	return nil
}

func (t *epochTime) setIn(field *string) {
	if *t != "" {
		*field = string(*t)
	}
}

// readEpoch is readString for a time.
func (d *frameDecoder) readEpoch(dst *string, prev string) bool {
	if d.peek() != '"' {
		return d.literal("null")
	}
	body, _, ok := d.readUnescaped()
	var memory [32]byte // AppendFormat needs a little more than the text is long
	text := appendTime(memory[:0], body)
	if string(text) == prev {
		*dst = prev
	} else {
		*dst = d.copyString(text)
	}
	return ok
}

// zatoTime is how the server writes a time of a pushed message, in UTC. It leaves out the
// fraction if that is zero.
const zatoTime = "2006-01-02T15:04:05.000000"

// lastSecond is the last second of the year 9999, since the epoch.
const lastSecond = 253402300799

// appendTime appends a time that is given in seconds since the epoch, such as
// 1795943603.3680801, in the form of zatoTime. It appends any other text unchanged.
func appendTime(out, epoch []byte) []byte {
	s := scanner{text: epoch}
	ok := s.skipDigits()
	seconds, err := strconv.ParseInt(string(epoch[:s.at]), 10, 64)
	start := s.at + 1
	if s.skipByte('.') {
		ok = ok && s.skipDigits()
	}
	if !ok || err != nil || s.at < len(epoch) || seconds > lastSecond {
		return append(out, epoch...)
	}
	at := time.Unix(seconds, nanoseconds(epoch[min(start, len(epoch)):])).UTC().Round(time.Microsecond)
	layout := zatoTime
	if at.Nanosecond() == 0 {
		layout = time.DateOnly + "T" + time.TimeOnly
	}
	return at.AppendFormat(out, layout)
}

// nanoseconds returns the value of the digits behind the point of a number of seconds.
func nanoseconds(fraction []byte) (n int64) {
	for i := range 9 {
		n *= 10
		if i < len(fraction) {
			n += int64(fraction[i] - '0')
		}
	}
	return n
}
