package wire

import "slices"

// list makes the messages of frames.
type list[M any] struct {
	messages []M
	fill     func(*M, *Message)
	give     func(m *Message, more int) // add, of which a splitter needs a function
}

// listIn returns the list of a splitter, which is made once.
func listIn[M any](s *splitter) *list[M] {
	l, ok := s.list.(*list[M])
	if !ok {
		l = &list[M]{}
		l.give = l.add
		s.list = l
	}
	return l
}

// add makes one more message, behind which more are taken to follow.
func (l *list[M]) add(m *Message, more int) {
	if len(l.messages) == cap(l.messages) {
		l.messages = slices.Grow(l.messages, 1+more)
	}
	l.messages = l.messages[:len(l.messages)+1]
	l.fill(&l.messages[len(l.messages)-1], m)
}

// taken returns the messages, which are the caller's then.
func (l *list[M]) taken() []M {
	messages := l.messages
	l.messages = nil
	return messages
}
