package wsxtest

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"time"
)

// newID returns a new correlation id. Zato writes 96 random bits without leading
// zeros, so some ids have 23 digits (transcript bad-frames).
func newID() string {
	return randomHex(12)
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return strings.TrimLeft(hex.EncodeToString(b), "0")
}

// isoTime formats a time as Zato does: in UTC, with microseconds and without a zone.
func isoTime(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000000")
}

// maxKnownIDs is how many of the last ids an idSet knows at least.
const maxKnownIDs = 500_000

// idSet knows the last ids that were added to it.
type idSet struct {
	current, before map[string]struct{}
}

// add adds an id. It returns false if the id is known.
func (s *idSet) add(id string) bool {
	if len(s.current) >= maxKnownIDs || s.current == nil {
		s.before, s.current = s.current, map[string]struct{}{}
	}
	_, known := s.current[id]
	_, knownBefore := s.before[id]
	s.current[id] = struct{}{}
	return !known && !knownBefore
}
