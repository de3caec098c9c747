package wire

// Decoded is a frame with its messages.
type Decoded struct {
	Frame

	Messages []Message
}

func copyMessage(to, from *Message) { *to = *from }

// DecodeAll is Decode without a conversion of the messages.
func DecodeAll(raw []byte, aliasInput bool) (*Decoded, error) {
	f, messages, err := Decode(raw, aliasInput, copyMessage)
	return &Decoded{f, messages}, err
}

// DecodeFast decodes a frame with the frameDecoder alone. It reports false for a frame that
// Decode would leave to encoding/json.
func DecodeFast(raw []byte, aliasInput bool) (*Decoded, bool) {
	d := frameDecoders.Get().(*frameDecoder)
	defer frameDecoders.Put(d)
	c := collectorOf[Message](d)
	c.fill = copyMessage
	f, ok := d.decode(raw, aliasInput, c.emit)
	return &Decoded{f, c.finish()}, ok
}

// DecodeJSON decodes a frame with encoding/json alone.
func DecodeJSON(raw []byte) (*Decoded, error) {
	f, messages, err := decodeJSON(raw)
	return &Decoded{f, messages}, err
}

// Fetched is a decoded answer to a fetch.
type Fetched struct {
	Messages  []Message
	Confirmed int64
}

// DecodeFetchedAll is DecodeFetched without a conversion of the messages.
func DecodeFetchedAll(answer []byte) (Fetched, error) {
	messages, confirmed, err := DecodeFetched(answer, copyMessage)
	return Fetched{messages, confirmed}, err
}

// DecodeFetchedFast decodes an answer to a fetch with the frameDecoder alone. It reports
// false for an answer that DecodeFetched would leave to encoding/json.
func DecodeFetchedFast(answer []byte) (Fetched, bool) {
	d := fetchedDecoders.Get().(*frameDecoder)
	defer fetchedDecoders.Put(d)
	c := collectorOf[Message](d)
	c.fill = copyMessage
	confirmed, ok := d.decodeFetched(answer, c.emit)
	return Fetched{c.finish(), confirmed}, ok
}

// DecodeFetchedJSON decodes an answer to a fetch with encoding/json alone.
func DecodeFetchedJSON(answer []byte) (Fetched, error) {
	messages, confirmed, err := decodeFetchedJSON(answer)
	return Fetched{messages, confirmed}, err
}

// Time converts a time of a fetched message.
func Time(epoch string) string { return string(appendTime(nil, []byte(epoch))) }
