package journal_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zato-connect/zato-connect/internal/journal"
)

// waitLimit bounds every wait for an event.
const waitLimit = 20 * time.Second

// value is the decoded value of a frame.
type value struct {
	text      string
	recovered bool
}

// callbacks records the calls of OnError, OnFull and OnResumed.
type callbacks struct {
	mu   sync.Mutex
	errs []error
	full []bool // true for OnFull, false for OnResumed
}

func (c *callbacks) onError(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, err)
}

func (c *callbacks) onFull(full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.full = append(c.full, full)
}

// lastErr returns the last error that OnError got. It is nil if the journal has recovered.
func (c *callbacks) lastErr() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.errs) == 0 {
		return nil
	}
	return c.errs[len(c.errs)-1]
}

func (c *callbacks) fullChanges() []bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]bool(nil), c.full...)
}

// harness is a journal under test.
type harness struct {
	*journal.Journal[value]
	callbacks

	t *testing.T
	// latest and unacked are the arguments of Recover.
	latest  map[string][]string
	unacked []journal.Record
}

// options returns options whose Recover drops the frames that are in the store.
func (h *harness) options(path string, maxSize int64) journal.Options[value] {
	return journal.Options[value]{
		Path: path, MaxSize: maxSize, Sources: []string{"/t"}, DedupLimit: 10, OnError: h.onError,
		OnCommit: func(time.Duration) {}, OnFull: func() { h.onFull(true) }, OnResumed: func() { h.onFull(false) },
		Recover: func(latest map[string][]string, unacked []journal.Record) (recovered []journal.Record) {
			h.latest, h.unacked = latest, unacked
			for _, r := range unacked {
				if len(r.Raw) > 0 && !slices.Contains(latest[r.Source], string(r.Raw[:1])) {
					recovered = append(recovered, record(string(r.Raw)))
				}
			}
			return recovered
		},
		Decode: func(r journal.Record) (value, error) {
			if bytes.HasPrefix(r.Raw, []byte("undecodable")) {
				return value{}, errors.New("undecodable")
			}
			return value{string(r.Raw), r.Recovered}, nil
		},
	}
}

func open(t *testing.T, path string) *harness {
	t.Helper()
	return openSized(t, path, 1<<30)
}

func openSized(t *testing.T, path string, maxSize int64) *harness {
	t.Helper()
	h := &harness{t: t}
	j, err := journal.Open(t.Context(), h.options(path, maxSize))
	require.NoError(t, err)
	h.Journal = j
	return h
}

// newPath returns the path of a new journal, with characters that need escaping in a URL.
func newPath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "a journal ?%41#.db")
}

// awaitErr waits until the journal reports an error, and returns it. The journal may have
// recovered since.
func (h *harness) awaitErr() (err error) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		err = errors.Join(h.errs...)
		return err != nil
	}, waitLimit, time.Millisecond)
	return err
}

// enqueue enqueues frames that are not in the write-ahead log.
func (h *harness) enqueue(texts ...string) {
	h.t.Helper()
	for _, text := range texts {
		h.Enqueue(h.t.Context(), record(text), value{text: text})
	}
}

// appendAndEnqueue adds frames as a client does: it writes them to the log first.
func (h *harness) appendAndEnqueue(texts ...string) {
	h.t.Helper()
	for _, text := range texts {
		r := record(text)
		r.Ack = h.Append("/t", r.Raw)
		require.NotNil(h.t, r.Ack)
		h.Enqueue(h.t.Context(), r, value{text: text})
	}
}

// record returns a record of one message, whose id is the first letter of the text.
func record(text string) journal.Record {
	return journal.Record{Source: "/t", IDs: []string{text[:1]}, Messages: 1, Raw: []byte(text)}
}

func (h *harness) dequeue() journal.Item[value] {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), waitLimit)
	defer cancel()
	item, err := h.Dequeue(ctx)
	require.NoError(h.t, err)
	return item
}

func (h *harness) close() (left, lost journal.Backlog) {
	h.t.Helper()
	left, lost, err := h.Close()
	require.NoError(h.t, err)
	return left, lost
}

// canceled returns a context that has ended.
func canceled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
