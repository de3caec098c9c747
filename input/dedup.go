package input

import "hash/maphash"

// dedupLimit is how many message ids are kept for each topic.
const dedupLimit = 10_000

// dedup keeps the latest message ids of a topic, to recognize duplicates. Only one goroutine may use it at a time.
//
// It looks ids up by their hashes, because a map of hashes costs less than a map of strings. If two ids have the same
// hash, it may forget one of them. With 64 bits that is too rare to matter.
type dedup struct {
	limit  int
	seed   maphash.Seed
	index  map[uint64]int // from the hash of an id to its place in ring
	ring   []string       // the ids
	hashes []uint64       // of the ids in ring
	next   int            // the place of the oldest id in a full ring
}

func newDedup() *dedup { return restoreDedup(dedupLimit, nil) }

// restoreDedup returns a dedup that knows the given ids, the oldest first. It keeps at most limit of them.
func restoreDedup(limit int, ids []string) *dedup {
	d := &dedup{limit: limit, seed: maphash.MakeSeed(), index: map[uint64]int{}}
	for _, id := range ids {
		d.isDuplicate(id)
	}
	return d
}

// isDuplicate reports whether the id is known, and adds it. The empty id is never a duplicate.
func (d *dedup) isDuplicate(id string) bool {
	if id == "" {
		return false
	}
	hash := maphash.String(d.seed, id)
	if at, known := d.index[hash]; known && d.ring[at] == id {
		return true
	}
	if len(d.ring) < d.limit {
		d.index[hash] = len(d.ring)
		d.ring, d.hashes = append(d.ring, id), append(d.hashes, hash)
		return false
	}
	delete(d.index, d.hashes[d.next])
	d.index[hash] = d.next
	d.ring[d.next], d.hashes[d.next] = id, hash
	d.next = (d.next + 1) % d.limit
	return false
}
