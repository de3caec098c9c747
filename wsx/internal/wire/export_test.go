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
	d := &Decoded{}
	s := splitters.Get().(*splitter)
	defer splitters.Put(s)
	var ok bool
	d.Frame, ok = s.split(raw, owned, func(m *Message, more int) {
		if d.Messages == nil {
			d.Messages = make([]Message, 0, 1+more)
		}
		d.Messages = append(d.Messages, *m)
	})
	return d, ok
}

func DecodeJSON(raw []byte) (*Decoded, error) {
	f, messages, err := decode(raw)
	return &Decoded{f, messages}, err
}
