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

// maxKnownIDs is the number of the last ids that are known at least.
const maxKnownIDs = 500_000

// knownIDs has the topics of the last messages that were published with an id of their
// publisher.
type knownIDs struct {
	current, before map[string]string // topics by id
}

// add adds an id.
func (k *knownIDs) add(id, topic string) {
	if len(k.current) >= maxKnownIDs || k.current == nil {
		k.before, k.current = k.current, map[string]string{}
	}
	k.current[id] = topic
}

// status returns the status of a message whose id is known, "" for others. Ids are
// unique over all topics.
func (k *knownIDs) status(id, topic string) string {
	known, isKnown := k.current[id]
	if !isKnown {
		known, isKnown = k.before[id]
	}
	switch {
	case !isKnown:
		return ""
	case known != topic:
		return statusRefused
	}
	return statusKnown
}
