package input

// seenLimit is how many ids of messages are remembered for each topic.
const seenLimit = 10_000

// seen remembers the latest ids of messages, to tell repeats. It is used by one
// goroutine at a time.
type seen struct {
	limit  int
	ids    map[string]struct{}
	oldest []string // a ring
	next   int
}

func newSeen() *seen { return remember(seenLimit, nil) }

// remember makes one of ids, the oldest first, of which it keeps so many.
func remember(limit int, ids []string) *seen {
	s := &seen{limit: limit, ids: map[string]struct{}{}}
	for _, id := range ids {
		s.repeated(id)
	}
	return s
}

// repeated tells whether an id came before, and remembers it. A message without
// an id is never a repeat.
func (s *seen) repeated(id string) bool {
	if id == "" {
		return false
	}
	if _, known := s.ids[id]; known {
		return true
	}
	s.ids[id] = struct{}{}
	if len(s.oldest) < s.limit {
		s.oldest = append(s.oldest, id)
		return false
	}
	delete(s.ids, s.oldest[s.next])
	s.oldest[s.next] = id
	s.next = (s.next + 1) % s.limit
	return false
}
