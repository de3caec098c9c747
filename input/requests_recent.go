package input

import (
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// maxRecentRequests is how many requests an input remembers. It is several times the largest
// number that should be in one batch.
const maxRecentRequests = 1024

// recentRequests are the requests that an input handed to the pipeline last. Its methods may be
// called by several goroutines at once.
type recentRequests struct {
	mu   sync.Mutex // guards the fields below
	byID map[string]*request
	ids  []string // in order
}

// add adds a request, and forgets the oldest one if there are too many.
func (r *recentRequests) add(added *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = map[string]*request{}
	}
	if len(r.ids) == maxRecentRequests {
		delete(r.byID, r.ids[0])
		r.ids = r.ids[1:]
	}
	r.byID[added.ID] = added
	r.ids = append(r.ids, added.ID)
}

// others returns the other requests whose messages are in the last response to a request.
func (r *recentRequests) others(to *request, responses *service.SyncResponseStore) []*request {
	batches := responses.Read()
	if len(batches) == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*request
	for _, msg := range batches[len(batches)-1] {
		id, _ := msg.MetaGet(metaRequestID)
		if other := r.byID[id]; other != nil && other != to {
			out = append(out, other)
		}
	}
	return out
}
