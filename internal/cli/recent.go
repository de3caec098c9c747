package cli

// recentLimit is how many message ids are kept, at least.
const recentLimit = 10_000

// recentIDs keeps the ids of the last messages, to recognize those that Zato sends twice.
type recentIDs struct{ current, previous map[string]bool }

// add adds an id. It reports whether the id is new. The empty id always is.
func (r *recentIDs) add(id string) bool {
	if id == "" {
		return true
	}
	if r.current[id] || r.previous[id] {
		return false
	}
	if r.current == nil || len(r.current) == recentLimit {
		r.current, r.previous = map[string]bool{}, r.current
	}
	r.current[id] = true
	return true
}
