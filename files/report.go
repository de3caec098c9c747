package files

import (
	"errors"
	"sync"
)

// Report collects the failures of the inputs that read their files once. A command takes its
// exit status from it. It may be used by several goroutines.
type Report struct {
	mu     sync.Mutex
	failed []error
}

// Err returns what the inputs that have ended could not do, or nil.
func (r *Report) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.failed...)
}

func (r *Report) add(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, err)
}
