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
