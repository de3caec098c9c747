package wire

import "slices"

// collector makes the messages of frames.
type collector[M any] struct {
	messages []M
	fill     func(*M, *Message)
	emit     func(m *Message, more int) // add, of which a splitter needs a function
}

// collectorOf returns the list of a splitter, which is made once.
func collectorOf[M any](s *frameDecoder) *collector[M] {
	l, ok := s.collector.(*collector[M])
	if !ok {
		l = &collector[M]{}
		l.emit = l.add
		s.collector = l
	}
	return l
}

// add makes one more message, behind which more are taken to follow.
func (l *collector[M]) add(m *Message, more int) {
	if len(l.messages) == cap(l.messages) {
		l.messages = slices.Grow(l.messages, 1+more)
	}
	l.messages = l.messages[:len(l.messages)+1]
	l.fill(&l.messages[len(l.messages)-1], m)
}

// finish returns the messages, which are the caller's then.
func (l *collector[M]) finish() []M {
	messages := l.messages
	l.messages = nil
	return messages
}
