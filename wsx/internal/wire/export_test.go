package wire

// Decoded is what a frame says.
type Decoded struct {
	Frame

	Messages []Message
}

func copied(to, from *Message) { *to = *from }

// DecodeAll is Decode.
func DecodeAll(raw []byte, owned bool) (*Decoded, error) {
	f, messages, err := Decode(raw, owned, copied)
	return &Decoded{f, messages}, err
}

// Split and DecodeJSON are the two halves of it.
func Split(raw []byte, owned bool) (*Decoded, bool) {
	s := frameDecoders.Get().(*frameDecoder)
	defer frameDecoders.Put(s)
	l := collectorOf[Message](s)
	l.fill = copied
	f, ok := s.decode(raw, owned, l.emit)
	return &Decoded{f, l.finish()}, ok
}

func DecodeJSON(raw []byte) (*Decoded, error) {
	f, messages, err := decode(raw)
	return &Decoded{f, messages}, err
}
