package wire

import "slices"

// A collector gathers the messages of a frame, converted to the caller's type M. A
// frameDecoder is not generic, so that one pool serves all types. It hands its messages to
// the collector's emit function.
type collector[M any] struct {
	messages []M
	fill     func(*M, *Message)
	emit     func(m *Message, remaining int) // c.append, made once because a method value allocates
}

// collectorOf returns the collector of a decoder. It makes one if the decoder has none for
// the type M yet.
func collectorOf[M any](d *frameDecoder) *collector[M] {
	c, ok := d.collector.(*collector[M])
	if !ok {
		c = &collector[M]{}
		c.emit = c.append
		d.collector = c
	}
	return c
}

// append converts m and appends it. remaining is an estimate of how many messages follow,
// for which it reserves memory.
func (c *collector[M]) append(m *Message, remaining int) {
	if len(c.messages) == cap(c.messages) {
		c.messages = slices.Grow(c.messages, 1+remaining)
	}
	c.messages = c.messages[:len(c.messages)+1]
	c.fill(&c.messages[len(c.messages)-1], m)
}

// finish returns the messages and forgets them. The caller owns the slice.
func (c *collector[M]) finish() []M {
	messages := c.messages
	c.messages = nil
	return messages
}
