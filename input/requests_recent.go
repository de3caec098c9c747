package input

import (
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// maxRecentRequests is how many requests an input remembers. It is several times the largest
// number that should be in one batch.
const maxRecentRequests = 1024

// recentRequests remembers where the answers to the requests go that an input handed to the
// pipeline last. It does not keep their data. Its methods may be called by several goroutines
// at once.
type recentRequests struct {
	mu      sync.Mutex // guards the fields below
	answers map[string]answerTo
	ids     []string // in order
}

// add adds a request, and forgets the oldest one if there are too many.
func (r *recentRequests) add(added *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answers == nil {
		r.answers = map[string]answerTo{}
	}
	if len(r.ids) == maxRecentRequests {
		delete(r.answers, r.ids[0])
		r.ids = r.ids[1:]
	}
	r.answers[added.ID] = added.answer
	r.ids = append(r.ids, added.ID)
}

// others returns where the answers go to the other requests whose messages are in the last
// response to a request.
func (r *recentRequests) others(to *request, responses *service.SyncResponseStore) []answerTo {
	batches := responses.Read()
	if len(batches) == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []answerTo
	for _, msg := range batches[len(batches)-1] {
		id, _ := msg.MetaGet(metaRequestID)
		if other := r.answers[id]; other != nil && id != to.ID {
			out = append(out, other)
		}
	}
	return out
}
