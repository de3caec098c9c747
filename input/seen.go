package input

import "hash/maphash"

// seenLimit is how many ids of messages are remembered for each topic.
const seenLimit = 10_000

// seen remembers the latest ids of messages, to tell repeats. It is used by one
// goroutine at a time.
//
// It finds them by their hashes, which cost less than the ids themselves. Of two ids with
// one hash, which nobody will live to see, it may forget one.
type seen struct {
	limit  int
	seed   maphash.Seed
	places map[uint64]int // where in the ring the id of a hash is
	oldest []string       // a ring
	hashes []uint64       // of them
	next   int
}

func newSeen() *seen { return remember(seenLimit, nil) }

// remember makes one of ids, the oldest first, of which it keeps so many.
func remember(limit int, ids []string) *seen {
	s := &seen{limit: limit, seed: maphash.MakeSeed(), places: map[uint64]int{}}
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
	hash := maphash.String(s.seed, id)
	if at, known := s.places[hash]; known && s.oldest[at] == id {
		return true
	}
	if len(s.oldest) < s.limit {
		s.places[hash] = len(s.oldest)
		s.oldest, s.hashes = append(s.oldest, id), append(s.hashes, hash)
		return false
	}
	delete(s.places, s.hashes[s.next])
	s.places[hash] = s.next
	s.oldest[s.next], s.hashes[s.next] = id, hash
	s.next = (s.next + 1) % s.limit
	return false
}
