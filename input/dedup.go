package input

import "hash/maphash"

// dedupLimit is how many ids of messages are remembered for each topic.
const dedupLimit = 10_000

// dedup remembers the latest ids of messages, to tell repeats. It is used by one
// goroutine at a time.
//
// It finds them by their hashes, which cost less than the ids themselves. Of two ids with
// one hash, which nobody will live to see, it may forget one.
type dedup struct {
	limit  int
	seed   maphash.Seed
	index  map[uint64]int // where in the ring the id of a hash is
	ring   []string       // a ring
	hashes []uint64       // of them
	next   int
}

func newDedup() *dedup { return dedupOf(dedupLimit, nil) }

// dedupOf makes one of ids, the oldest first, of which it keeps so many.
func dedupOf(limit int, ids []string) *dedup {
	s := &dedup{limit: limit, seed: maphash.MakeSeed(), index: map[uint64]int{}}
	for _, id := range ids {
		s.isDuplicate(id)
	}
	return s
}

// isDuplicate tells whether an id came before, and remembers it. A message without
// an id is never a repeat.
func (s *dedup) isDuplicate(id string) bool {
	if id == "" {
		return false
	}
	hash := maphash.String(s.seed, id)
	if at, known := s.index[hash]; known && s.ring[at] == id {
		return true
	}
	if len(s.ring) < s.limit {
		s.index[hash] = len(s.ring)
		s.ring, s.hashes = append(s.ring, id), append(s.hashes, hash)
		return false
	}
	delete(s.index, s.hashes[s.next])
	s.index[hash] = s.next
	s.ring[s.next], s.hashes[s.next] = id, hash
	s.next = (s.next + 1) % s.limit
	return false
}
