// Package recent remembers the ids of the latest messages, to recognize duplicates.
package recent

import (
	"hash/maphash"
	"slices"
)

// DefaultLimit is how many ids of a topic are remembered.
const DefaultLimit = 10_000

// IDs remembers the latest ids. Only one goroutine may use it at a time.
//
// It looks ids up by their hashes, because a map of hashes costs less than a map of strings. If two ids have the same
// hash, it may forget one of them. With 64 bits that is too rare to matter.
type IDs struct {
	limit  int
	seed   maphash.Seed
	index  map[uint64]int // from the hash of an id to its place in ring
	ring   []string       // the ids
	hashes []uint64       // of the ids in ring
	next   int            // the place of the oldest id in a full ring
}

// New returns an IDs that knows the given ids, the oldest first. It remembers at most limit of them.
func New(limit int, ids ...string) *IDs {
	r := &IDs{limit: limit, seed: maphash.MakeSeed(), index: map[uint64]int{}}
	for _, id := range ids {
		r.Add(id)
	}
	return r
}

// Add adds an id. It reports whether the id is new. The empty id always is, and is not remembered.
func (r *IDs) Add(id string) bool {
	if id == "" {
		return true
	}
	hash := maphash.String(r.seed, id)
	if at, known := r.index[hash]; known && r.ring[at] == id {
		return false
	}
	if len(r.ring) < r.limit {
		r.index[hash] = len(r.ring)
		r.ring, r.hashes = append(r.ring, id), append(r.hashes, hash)
		return true
	}
	delete(r.index, r.hashes[r.next])
	r.index[hash] = r.next
	r.ring[r.next], r.hashes[r.next] = id, hash
	r.next = (r.next + 1) % r.limit
	return true
}

// All returns the ids, the oldest first.
func (r *IDs) All() []string { return slices.Concat(r.ring[r.next:], r.ring[:r.next]) }
